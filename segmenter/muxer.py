"""One chunk: packets as the camera sent them in, `ftyp moov | moof mdat` out; nothing is decoded.

A chunk is at once a file that plays and a CMAF segment. What it holds depends on its packets and its anchor alone:
the same input gives the same bytes, so the init segment can be stored under its hash.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer

from segmenter.chunk import Chunk, metadata, rfc6381
from segmenter.tracks import BITEXACT, AnyPacket, SourceTracks, time_of
from sluice.boxes import boxes
from sluice.errors import UnusableInputError

__all__ = ["ANCHOR_EPOCH_MS", "LIMIT_S", "TARGET_S", "Chunk", "ChunkMuxer", "metadata", "one_chunk", "opened"]

ANCHOR_EPOCH_MS: Final = 1_577_836_800_000
"""2020-01-01: tfdt counts from here, so that it stays below 2^53 in every timescale; a browser's number is a double."""
TARGET_S: Final = 3.0
LIMIT_S: Final = 30.0
"""A longer GOP makes a longer chunk, up to here."""
AUDIO_BIT_RATE: Final = 128_000
"""The source's own leaks into esds and differs from connection to connection: the init's hash would change."""
MUXER_OPTIONS: Final = {
    # Not `cmaf`, which implies negative_cts_offsets: FFmpeg's own reader shows such video late by its reorder delay,
    # while the audio beside it keeps its time.
    "movflags": "frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer",
    # With edit lists on, movenc counts tfdt from the first pts, yet writes no list into an empty moov: late again.
    "use_editlist": "0",
    # Without edit lists movenc would move the first packet to 0, and the anchor would be lost.
    "avoid_negative_ts": "disabled",
    # btrt repeats the source's bit rate: see AUDIO_BIT_RATE.
    "write_btrt": "0",
}


class ChunkMuxer:
    """Collects the packets of one chunk; add() until the cutter says so, then close()."""

    def __init__(
        self,
        tracks: SourceTracks,
        *,
        anchor_ms: int | None = None,
        zero: Fraction | None = None,
        sound: Sequence[AnyPacket] = (),
    ) -> None:
        """Place media time *zero* (default: this chunk's first keyframe) at *anchor_ms*; close() may name it first."""
        self.start: Fraction | None = None
        """Media time of the first keyframe."""
        self._start_pts = 0
        self._tracks = tracks
        self._anchor_ms = 0 if anchor_ms is None else _checked_anchor(anchor_ms)
        self._zero = zero
        self.opens_session = zero is None
        self._open_gop = False
        self._video: list[AnyPacket] = []
        self._audio: list[AnyPacket] = list(sound)

    @property
    def frames(self) -> int:
        """How many it has taken."""
        return len(self._video)

    def add(self, packet: AnyPacket) -> None:
        """Take a packet of either track; what comes before the first keyframe, or has no time, is left out."""
        if self._tracks.is_video(packet):
            self._add_video(packet)
            return
        for each in self._tracks.copied_audio(packet):
            # Within a session what comes late goes along: the chunk that it belongs to may be gone.
            if self.start is not None and (not self.opens_session or (each.pts or 0) >= _ticks(self.start, each)):
                self._audio.append(each)

    def sound_from(self, start: Fraction) -> list[AnyPacket]:
        """Give back the sound that came ahead of its picture: the next chunk's."""
        first = _ticks(start, self._audio[0]) if self._audio else 0
        ahead = [each for each in self._audio if (each.pts or 0) >= first]
        self._audio = self._audio[: len(self._audio) - len(ahead)]
        return ahead

    def _add_video(self, packet: AnyPacket) -> None:
        # A live source's first packets have no dts, and its first keyframe may have no pts.
        if packet.dts is None or packet.pts is None or not packet.size:
            return
        if self.start is None:
            if not packet.is_keyframe:
                return
            self.start, self._start_pts = time_of(packet), packet.pts
        elif packet.dts <= (self._video[-1].dts or 0):
            return  # the muxer refuses time that stands still; the cutter starts a session when it jumps
        elif self.opens_session and packet.pts < self._start_pts:
            # Shown before the session's first keyframe: it needs frames that we never had.
            self._open_gop = True
            return
        self._video.append(packet)

    def elapsed_s(self, packet: AnyPacket) -> float:
        """How much of the chunk lies before *packet*."""
        return 0.0 if self.start is None or packet.pts is None else float(time_of(packet) - self.start)

    def close(
        self, *, following: "AnyPacket | None" = None, reason: str = "end", anchor_ms: int | None = None
    ) -> Chunk:
        """Write the chunk; *following* is the video packet after its last, so the one that says how long that lasts."""
        self._anchor_ms = _checked_anchor(self._anchor_ms if anchor_ms is None else anchor_ms)
        if self.start is None:
            raise UnusableInputError("a keyframe with a time", "none", self._tracks.name)
        duration = max(self.end(following) - self.start, Fraction(1, self._tracks.timescale))
        facts = self._facts(duration)
        try:
            body, init_bytes = self._written()
        except av.error.FFmpegError as error:
            raise UnusableInputError("packets that mp4 can hold", str(error), self._tracks.name) from error
        stream = self._tracks.templates.video
        return Chunk(
            body=body,
            init_bytes=init_bytes,
            start=self.start,
            duration_ms=round(duration * 1000),
            codec=rfc6381(body[:init_bytes], self._tracks.audio_config),
            width=stream.width,
            height=stream.height,
            audio_dropped=self._tracks.audio_dropped,
            reason=reason,
            bitrate=round(len(body) * 8 / duration),
            **facts,
        )

    def end(self, following: "AnyPacket | None") -> Fraction:
        """Media time of the end, known before it is closed; gives the last packet the duration that leads there."""
        last, time_base = self._video[-1], self._video[-1].time_base
        if following is not None and following.pts is not None and following.dts is not None:
            last.duration = max(1, following.dts - (last.dts or 0))
            if following.is_keyframe:  # others are shown after frames that follow them
                return following.pts * time_base
        elif not last.duration:
            before = self._video[-2:][0]
            last.duration = max(1, (last.dts or 0) - (before.dts or 0)) if before is not last else 1
        return max((each.pts or 0) + (each.duration or 0) for each in self._video) * time_base

    def _facts(self, duration: Fraction) -> dict[str, Any]:
        keyframe_pts, keyframes, open_gop = 0, 0, self._open_gop
        for each in self._video:
            pts = each.pts or 0
            if each.is_keyframe:
                keyframe_pts, keyframes = pts, keyframes + 1
            # Shown before the keyframe it comes after: it may need frames of the GOP before.
            open_gop = open_gop or pts < keyframe_pts
        return {
            "frames": len(self._video),
            "keyframes": keyframes,
            "fps": round(float(len(self._video) / duration), 3),
            "open_gop": open_gop,
        }

    def _written(self) -> tuple[bytes, int]:
        out = io.BytesIO()
        options = {**MUXER_OPTIONS, "video_track_timescale": str(self._tracks.timescale)}
        with av.open(out, "w", format="mp4", container_options=options) as output:
            output.flags |= BITEXACT  # else the init names the library's version
            video, audio = self._tracks.add_to(output, audio_bit_rate=AUDIO_BIT_RATE)
            output.start_encoding()
            for target, packets in ((video, self._video), (audio, self._audio)):
                if target:
                    self._place(packets, target)
            # The library puts them in order of time, and each track into one run of the fragment.
            for packet in self._video + (self._audio if audio else []):
                output.mux_one(packet)
        body = out.getvalue()
        fragments = [box.start for box in boxes(body) if box.kind == b"moof"]
        if len(fragments) != 1:
            raise AssertionError(f"one moof was asked for, {len(fragments)} were written")
        return body, fragments[0]

    def _place(self, packets: Sequence[AnyPacket], target: Any) -> None:
        """Move the packets' times into the track's timescale, the zero to the anchor."""
        time_base = target.time_base  # a new fraction each time
        scale = 1 / time_base
        zero = self._zero if self._zero is not None else self.start or Fraction(0)
        offset = (self._anchor_ms - ANCHOR_EPOCH_MS) * scale // 1000 - round(zero * scale)
        # Whole numbers: fractions cost more than all the rest of a packet's way.
        times, over = (packets[0].time_base * scale).as_integer_ratio() if packets else (1, 1)
        half, shift = over // 2, int(offset)
        for packet in packets:
            pts = packet.pts or 0
            dts = pts if packet.dts is None else packet.dts
            packet.pts, packet.dts = (pts * times + half) // over + shift, (dts * times + half) // over + shift
            packet.duration = ((packet.duration or 0) * times + half) // over
            packet.time_base, packet.stream = time_base, target


def one_chunk(source: bytes | Path | InputContainer, *, anchor_ms: int, target_s: float = TARGET_S) -> Chunk:
    """The first chunk of *source*: from its first keyframe to the first at or after *target_s*, or to the end."""
    with opened(source) as container:
        tracks = SourceTracks(container, _name(source))
        muxer = ChunkMuxer(tracks, anchor_ms=anchor_ms)
        for packet in _packets(container, tracks.name):
            elapsed = muxer.elapsed_s(packet) if tracks.is_video(packet) else 0.0
            if elapsed >= LIMIT_S or (elapsed >= target_s and packet.is_keyframe):
                return muxer.close(following=packet, reason="keyframe" if packet.is_keyframe else "limit")
            muxer.add(packet)
        return muxer.close()


@contextmanager
def opened(source: bytes | Path | InputContainer) -> Iterator[InputContainer]:
    """A container for bytes or a file, closed at the end; one that is open already stays so."""
    if not isinstance(source, bytes | Path):
        yield source
        return
    try:
        container = av.open(io.BytesIO(source) if isinstance(source, bytes) else source, "r", metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise UnusableInputError("a video file", str(error), _name(source)) from error
    with container:
        yield container


def _packets(container: InputContainer, name: str) -> Iterator[AnyPacket]:
    try:
        yield from container.demux()
    except av.error.FFmpegError as error:
        raise UnusableInputError("packets of video", str(error), name) from error


def _checked_anchor(anchor_ms: int) -> int:
    if anchor_ms < ANCHOR_EPOCH_MS:
        raise ValueError(f"anchor {anchor_ms}: expected Unix milliseconds after 2020-01-01")
    return anchor_ms


def _ticks(time: Fraction, packet: AnyPacket) -> int:
    """The first of the packet's ticks that is not before *time*; comparing fractions costs as much as all the rest."""
    return ceil(time / packet.time_base)


def _name(source: bytes | Path | InputContainer) -> str:
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(getattr(source, "name", source))
