"""What is in the bytes of a chunk: its tracks and packets, without decoding; the only importer of av in sluice/.

A chunk may be hostile. Only MP4 is opened (other demuxers follow URLs found in a file), its tables are counted before
the library allocates what they claim, and packets, tracks, size and time are bounded.
"""

import io
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from sluice.boxes import Box, TooManyBoxesError, boxes, find
from sluice.errors import UnusableInputError

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_BYTES: Final = 64 << 20
MAX_SIDE_PX: Final = 16_384
MAX_PIXELS: Final = 8192 * 8192
MAX_TRACKS: Final = 16
MAX_PACKETS: Final = 16_384
MAX_SAMPLES: Final = 1 << 21
"""Entries of the tables; a sample of PCM sound is one each, and 24 bytes of memory."""
MAX_SECONDS: Final = 10.0
"""Longest that reading one chunk may take."""
_SPS: Final = {"h264": 7, "hevc": 33}
"""Type of the NAL unit that says the picture's size, the sequence parameter set."""
_MOST_NALS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketFacts:
    """A packet; times in ticks of its track's time base."""

    pts: int
    dts: int
    duration: int
    size_bytes: int
    keyframe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTrack:
    """The video track, its packets in decoding order."""

    codec: str
    profile: str
    width: int
    height: int
    time_base: Fraction
    packets: tuple[PacketFacts, ...]
    parameter_sets: int
    """Different sequence parameter sets in the packets: more than one is a change of resolution or profile.

    With the tag hvc1 they stand in moov alone, so a change cannot be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioTrack:
    """The audio track."""

    codec: str
    sample_rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a chunk holds."""

    video: VideoTrack
    audio: AudioTrack | None
    truncated: bool
    """The object ends within its media: what is whole is told, the rest is missing."""


def probe(body: bytes, *, where: str) -> Probe:
    """Read the facts of a chunk; raises UnusableInputError naming *where* when there are none to be had."""
    with opened(body, where=where) as (container, stream):
        audio = next((each for each in container.streams if each.type == "audio"), None)
        packets, parameter_sets = _packets(container, stream, where)
        if not packets:
            raise UnusableInputError("at least one whole frame", "none", where)
        video = VideoTrack(
            codec=_codec(stream),
            profile=str(stream.profile or ""),
            width=stream.width,
            height=stream.height,
            time_base=stream.time_base,
            packets=tuple(packets),
            parameter_sets=parameter_sets,
        )
        truncated = any(box.end > len(body) for box in boxes(body))
        return Probe(video=video, audio=None if audio is None else _audio(audio), truncated=truncated)


@contextmanager
def opened(body: bytes, *, where: str) -> "Iterator[tuple[InputContainer, Any]]":
    """The container and its video track, once both are known to be bounded; raises UnusableInputError."""
    try:
        _check_layout(body, where)
    except TooManyBoxesError as error:
        raise UnusableInputError("an mp4 file", str(error), where) from error
    with _opened(body, where) as container:
        yield container, _checked_video(container, where)


def _check_layout(body: bytes, where: str) -> None:
    if not body:
        raise UnusableInputError("an mp4 file", "an empty object", where)
    if len(body) > MAX_BYTES:
        raise UnusableInputError(f"at most {MAX_BYTES} bytes", str(len(body)), where)
    top = list(boxes(body))
    if not top or top[0].kind not in (b"ftyp", b"styp"):
        raise UnusableInputError("an mp4 file", f"something that starts with {body[:16]!r}", where)
    for box in top:
        if box.kind in (b"moov", b"moof") and box.end > len(body):
            raise UnusableInputError("an mp4 file", f"one cut off within its {box.kind.decode()}", where)
    if not any(box.kind == b"moov" for box in top):
        raise UnusableInputError("an mp4 file", f"one without moov, of {len(body)} bytes", where)
    tracks, samples = sum(1 for _ in find(body, "moov/trak")), _samples(body)
    if tracks > MAX_TRACKS:
        raise UnusableInputError(f"at most {MAX_TRACKS} tracks", str(tracks), where)
    if samples > MAX_SAMPLES:
        raise UnusableInputError(f"at most {MAX_SAMPLES} samples", str(samples), where)


def _samples(body: bytes) -> int:
    """How many samples the file's tables claim: the library allocates for each, whether or not there is one."""
    sized = (
        _number(body, box, 8) for kind in ("stsz", "stz2") for box in find(body, f"moov/trak/mdia/minf/stbl/{kind}")
    )
    return sum(sized) + sum(_number(body, box, 4) for box in find(body, "moof/traf/trun"))


def _number(body: bytes, box: Box, offset: int) -> int:
    at = box.body + offset
    return int(struct.unpack_from(">I", body, at)[0]) if at + 4 <= min(box.end, len(body)) else 0


@contextmanager
def _opened(body: bytes, where: str) -> "Iterator[InputContainer]":
    import av

    def refuse(url: str, _flags: int, _options: dict[str, str]) -> Any:
        raise PermissionError(f"a chunk refers to {url[:80]!r}")

    # The library decodes the first frames while it opens; a picture past max_pixels is not allocated.
    options = {"max_pixels": str(MAX_PIXELS), "probesize": str(1 << 20), "fpsprobesize": "0"}
    try:
        with av.open(
            io.BytesIO(body), "r", format="mp4", options=options, metadata_errors="replace", io_open=refuse
        ) as container:
            yield container
    except (av.error.FFmpegError, PermissionError) as error:
        raise UnusableInputError("readable mp4", str(error), where) from error


def _checked_video(container: "InputContainer", where: str) -> Any:
    stream: Any = next((each for each in container.streams if each.type == "video"), None)
    if stream is None:
        raise UnusableInputError("a video track", "none", where)
    if _codec(stream) == "unknown":
        raise UnusableInputError("video of a known codec", "another", where)
    width, height = stream.width, stream.height
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX and width * height <= MAX_PIXELS):
        raise UnusableInputError(f"a picture of at most {MAX_PIXELS} pixels", f"{width}x{height}", where)
    return stream


def _packets(container: "InputContainer", stream: Any, where: str) -> tuple[list[PacketFacts], int]:
    deadline, found, sets = time.monotonic() + MAX_SECONDS, list[PacketFacts](), set[bytes]()
    nal_type, length_size = _SPS.get(_codec(stream)), _length_size(stream)
    for packet in container.demux(stream):
        if time.monotonic() > deadline or len(found) > MAX_PACKETS:
            raise UnusableInputError(f"at most {MAX_PACKETS} packets within {MAX_SECONDS:g} s", "more", where)
        # A truncated file ends with a packet that is marked; libavformat ends every demuxing with an empty one.
        if packet.is_corrupt or packet.pts is None or packet.dts is None or not packet.size:
            continue
        if nal_type is not None and packet.is_keyframe:
            sets.update(_nals(bytes(packet), nal_type, length_size, hevc=nal_type == _SPS["hevc"]))
        found.append(
            PacketFacts(
                pts=packet.pts,
                dts=packet.dts,
                duration=packet.duration or 0,
                size_bytes=packet.size,
                keyframe=packet.is_keyframe,
            )
        )
    return found, len(sets)


def _length_size(stream: Any) -> int:
    """Bytes of the length before each NAL unit, as avcC and hvcC say."""
    record, at = stream.codec_context.extradata or b"", 4 if _codec(stream) == "h264" else 21
    return (record[at] & 3) + 1 if len(record) > at else 4


def _nals(packet: bytes, wanted: int, length_size: int, *, hevc: bool) -> Iterator[bytes]:
    at = 0
    for _ in range(_MOST_NALS):
        start = at + length_size
        if start >= len(packet):
            return
        end = start + int.from_bytes(packet[at:start], "big")
        kind = packet[start] >> 1 & 0x3F if hevc else packet[start] & 0x1F
        if kind == wanted:
            yield packet[start:end]
        at = end


def _codec(stream: Any) -> str:
    # PyAV has no context for a codec that its FFmpeg cannot decode.
    return str(stream.codec_context.name) if stream.codec_context is not None else "unknown"


def _audio(stream: Any) -> AudioTrack:
    context = stream.codec_context
    if context is None:
        return AudioTrack(codec="unknown", sample_rate_hz=0, channels=0)
    return AudioTrack(codec=_codec(stream), sample_rate_hz=context.sample_rate or 0, channels=context.channels or 0)
