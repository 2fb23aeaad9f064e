"""A picture out of a chunk: its last keyframe as JPEG. One frame is decoded, by one thread, of bounded size."""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from sluice.errors import UnusableInputError
from sluice.video import MAX_PACKETS, MAX_PIXELS, MAX_SECONDS, opened

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_FINE: Final = 3
"""Of mjpeg's quantizers 1 to 31; 2 is twice as large and looks the same."""
_MAX_BITRATE: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A JPEG."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    offset_s: float
    """From the chunk's first frame."""


def last_keyframe(body: bytes, *, where: str, until_s: float | None = None) -> Picture:
    """The last picture that stands alone, *until_s* after the first at most; raises UnusableInputError."""
    import av

    with opened(body, where=where) as (container, stream):
        try:
            packet, offset_s = _chosen(container, stream, where, until_s)
            frame = _decoded(stream, packet)
        except av.error.FFmpegError as error:
            raise UnusableInputError("video that can be decoded", str(error), where) from error
        if frame is None:
            raise UnusableInputError("video that can be decoded", "a keyframe that gives no picture", where)
        return Picture(jpeg=_jpeg(frame, where), width=frame.width, height=frame.height, offset_s=offset_s)


def _chosen(container: Any, stream: Any, where: str, until_s: float | None) -> tuple[Any, float]:
    deadline, count = time.monotonic() + MAX_SECONDS, 0
    first: int | None = None
    chosen: Any = None
    for packet in container.demux(stream):
        count += 1
        if time.monotonic() > deadline or count > MAX_PACKETS:
            raise UnusableInputError(f"at most {MAX_PACKETS} packets within {MAX_SECONDS:g} s", "more", where)
        if packet.is_corrupt or packet.pts is None or not packet.size or not packet.is_keyframe:
            continue
        first = packet.pts if first is None else first
        # The chunk's first keyframe is shown whatever the time: there is none before it.
        if chosen is None or until_s is None or (packet.pts - first) * stream.time_base <= until_s:
            chosen = packet
    if chosen is None or first is None:
        raise UnusableInputError("a keyframe", "none", where)
    return chosen, float((chosen.pts - first) * stream.time_base)


def _decoded(stream: Any, packet: Any) -> "VideoFrame | None":
    context = stream.codec_context
    # The size in the packet's own parameter sets may be another one than the container's.
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_count = 1
    frames = [*context.decode(packet), *context.decode(None)]
    return frames[0] if frames else None


def _jpeg(frame: "VideoFrame", where: str) -> bytes:
    import av
    from av.codec import CodecContext

    if frame.width * frame.height > MAX_PIXELS:
        raise UnusableInputError(f"a picture of at most {MAX_PIXELS} pixels", f"{frame.width}x{frame.height}", where)
    encoder: Any = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.qmin = encoder.qmax = _FINE
    encoder.bit_rate = _MAX_BITRATE
    try:
        # A JPEG has the full range, video mostly has not.
        flat = frame.reformat(format="yuvj420p", dst_color_range="JPEG")
        flat.pts = None
        packets = [*encoder.encode(flat), *encoder.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise UnusableInputError("a picture that JPEG can hold", str(error), where) from error
    return b"".join(bytes(packet) for packet in packets)
