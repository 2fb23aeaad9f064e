"""`python -m segmenter.doctor URL`: opens a camera as the segmenter does, cuts one chunk, and says what it found."""

import argparse
import dataclasses
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from segmenter.conversion import converted
from segmenter.cutter import CutChunk, Cutter
from segmenter.source import Connection, SourceError
from segmenter.sources.factory import source_of
from segmenter.timeline import Clock
from segmenter.tracks import SourceTracks
from sluice.address import redacted
from sluice.advice import PASSED, transcoded
from sluice.contracts.camera import Camera
from sluice.contracts.chunk import Advice, AudioHealth, VideoHealth
from sluice.errors import UnusableInputError
from sluice.examination import examine
from sluice.video import probe

SECONDS: Final = 35.0
"""A chunk is 30 s at most, and begins at a keyframe."""
OPEN_S: Final = 45.0
"""To look the name up, and two tries."""
SILENT_S: Final = 10.0
MEMORY_BYTES: Final = 1 << 30
"""A hostile server may announce an answer of 2 GB, and the library takes the memory at once."""
KEEPS_TIME_S: Final = 0.5
REMEDIES: Final = {
    "unreachable": "Check the address, the port, that the camera is on, and that a firewall lets this machine in.",
    "unresolvable": "Check the name, or use the camera's IP address.",
    "unauthorized": "Give user and password in the URL, as in rtsp://USER:PASSWORD@HOST/, special characters encoded.",
    "not-found": "Check the path; it stands in the camera's manual, and depends on the stream that is wanted.",
    "silent": "Restart the camera, or see whether another program can play it; some serve few viewers at a time.",
    "ended": "See whether another program can play it; some cameras serve few viewers at a time.",
    "garbage": "Check scheme, port and path: this is not the address of a video stream.",
    "too-large": "Choose a stream of the camera with fewer tracks and a smaller picture.",
    "unsupported": "Choose H.264 video in the camera.",
    "no-device": "Plug the camera in, and let the segmenter read the device (group video).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found; advice the gravest first."""

    source: str
    opened_s: float
    codec: str
    """As the chunks hold it, RFC 6381."""
    transcoding: str | None
    chunk_s: float
    video: VideoHealth
    audio: AudioHealth | None
    clock_error_s: float
    """How far the camera's clock moved against ours meanwhile."""
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is nothing to be found."""

    source: str
    reason: str
    detail: str
    remedy: str


def diagnose(url: str, *, seconds: float = SECONDS) -> Diagnosis:
    """Look at a camera for at most so long; raises SourceError when there is nothing to look at."""
    source = source_of(Camera(name="doctor", source=url), silent_s=SILENT_S)
    began = time.monotonic()
    end = threading.Timer(OPEN_S + seconds, source.interrupt)
    end.daemon = True
    end.start()
    try:
        inner = source.open()
        opened_s = time.monotonic() - began
        sent = _codec(inner)
        connection = inner
        try:
            connection = converted(inner, audio=True)
            tracks = SourceTracks(connection.container, redacted(url))
            cut, clock_error_s = _chunk(connection, tracks, seconds)
            transcoding = connection.transcoding
        finally:
            connection.close()
    except UnusableInputError as error:
        raise SourceError("unsupported", str(error)) from error
    finally:
        end.cancel()
    video, audio, advice = examine(probe(cut.chunk.body, where="chunk"), audio_dropped=cut.chunk.audio_dropped)
    return Diagnosis(
        source=redacted(url),
        opened_s=round(opened_s, 2),
        codec=cut.chunk.codec,
        transcoding=transcoding,
        chunk_s=cut.duration_ms / 1000,
        video=video,
        audio=audio,
        clock_error_s=round(clock_error_s, 3),
        # The chunk holds what we made of it.
        advice=(transcoded(sent), *advice) if sent not in PASSED else advice,
    )


def _chunk(connection: Connection, tracks: SourceTracks, seconds: float) -> tuple[CutChunk, float]:
    cutter = Cutter(epoch_s=Clock().epoch_s)
    cutter.connect(tracks)
    began = time.monotonic()
    try:
        for packet in connection.packets():
            now = time.monotonic()
            chunks = cutter.add(packet, now)
            if chunks:
                return chunks[0], cutter.error_s
            if now - began > seconds:
                break
    except SourceError as error:
        if error.reason != "ended":
            raise
    error_s, chunks = cutter.error_s, cutter.end()
    if not chunks:
        raise SourceError("garbage", f"{tracks.name}: expected a keyframe within {seconds:g} s, found none")
    return chunks[0], error_s


def _codec(connection: Connection) -> str:
    context: Any = connection.container.streams.video[0].codec_context
    return str(context.name) if context is not None else "unknown"


def _lines(found: Diagnosis) -> Iterator[str]:
    video, audio = found.video, found.audio
    gop = f"a keyframe every {video.gop_frames / video.fps:.1f} s" if video.gop_frames else "one keyframe in the chunk"
    frames = "open GOPs" if video.open_gop else "B-frames" if video.b_frames else "no B-frames"
    yield found.source
    yield f"  opened  in {found.opened_s:g} s" + (f", transcoding {found.transcoding}" if found.transcoding else "")
    yield (
        f"  video   {video.codec} {video.profile} {video.width}x{video.height}, {video.fps:g} frames a second, {gop}, "
        f"{frames}, {video.bitrate_bps / 1e6:.2f} Mbit/s"
    )
    yield f"  audio   {f'{audio.codec}, {audio.sample_rate_hz} Hz, {audio.channels} channel(s)' if audio else 'none'}"
    yield f"  chunk   {found.chunk_s:.1f} s of {found.codec}"
    keeps = "keeps time" if abs(found.clock_error_s) < KEEPS_TIME_S else "does not keep time"
    yield f"  clock   {keeps} ({found.clock_error_s:+.2f} s while it was looked at)"
    for each in found.advice:
        yield f"  {each.severity} {each.code}: {each.text}"
    if not found.advice:
        yield "  nothing to mend"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 1 when the camera could not be opened."""
    parser = argparse.ArgumentParser(prog="python -m segmenter.doctor", description=__doc__)
    parser.add_argument("url", metavar="URL", help="as in rtsp://USER:PASSWORD@HOST/PATH")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"longest to look (default {SECONDS:g})")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    try:
        found = diagnose(options.url, seconds=options.seconds)
    except SourceError as error:
        failed = Failure(
            source=redacted(options.url),
            reason=error.reason,
            detail=redacted(error.detail),
            remedy="Correct the URL." if error.final else REMEDIES.get(error.reason, ""),
        )
        if options.json:
            _print(_json(failed))
        else:
            sys.stderr.write(f"{failed.reason}: {failed.detail}\n{failed.remedy}\n")
        return 1
    _print(_json(found) if options.json else "\n".join(_lines(found)))
    return 0


def _json(found: Diagnosis | Failure) -> str:
    return msgspec.json.encode(dataclasses.asdict(found)).decode()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    sys.exit(main())
