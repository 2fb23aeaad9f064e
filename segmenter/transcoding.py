"""Video that chunks cannot hold (MJPEG, MPEG-4, VP9 …) becomes H.264: on one core at most, for ever with one init.

A picture of another size gets an encoder of its own, whose keyframes bring their parameter sets: a new session.
"""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, VideoReformatter

from segmenter.budget import Budget
from segmenter.source import SourceError
from segmenter.tracks import AnyPacket

ENCODER: Final = "libx264"
SIDE_MOST: Final = 4096
GOP_S: Final = 1.5
"""Two of them are a chunk of the usual length."""
BROKEN_MOST: Final = 250
"""Pictures in a row; a source of which nothing can be decoded is none."""
TOLERANT_AFTER: Final = 25
"""A camera none of whose JPEGs is flawless is shown as it is."""
_HZ: Final = 90_000
_RESET: Final = _HZ
"""Time that steps back by more begins anew; by less it is a picture out of order."""
_RATE: Final = 25
"""Said to the encoder, which goes by time stamps: the camera's own, guessed anew each time, would change the init."""


class Pictures:
    """One a connection."""

    def __init__(self, source: Any, target: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        """*target*: a stream of set_up()'s, which names the packets."""
        self.skipped = 0
        """Pictures left out because encoding fell behind."""
        self.broken = 0
        """Pictures that could not be decoded, or had no place in time."""
        self._clock, self._budget = clock, Budget()
        self._source, self._target = source, target
        self._intra = bool(source.codec_context.codec.intra_only)
        self._decoder = _decoder(source, strict=True)
        self._encoder, self._size = target.codec_context, (target.width, target.height)
        self._scaler = VideoReformatter()
        self._changed = False
        self._last: int | None = None
        self._zero = self._gop = 0
        self._seen: int | None = None
        self._broken_in_a_row = 0
        self._any_good = False
        self._awaits_keyframe = False

    def converted(self, packet: AnyPacket) -> list[AnyPacket]:
        """The packet's pictures as H.264, if any; raises SourceError when the source is beyond help."""
        self._earn(packet)
        if self._left_out(packet):
            self.skipped += 1
            return []
        began = self._clock()
        made = []
        for frame in self._decoded(packet):
            if self._budget.spent:
                self.skipped += 1
            else:
                made += self._encoded(frame)
        self._budget.spend(self._clock() - began)
        return made

    def _earn(self, packet: AnyPacket) -> None:
        ticks = packet.dts if packet.pts is None or not self._intra else packet.pts
        if ticks is not None:
            self._budget.earn(float((ticks - (ticks if self._seen is None else self._seen)) * packet.time_base))
            self._seen = ticks

    def _left_out(self, packet: AnyPacket) -> bool:
        if self._intra:
            return self._budget.spent
        # Others need what came before: decoding goes on as long as there is hope.
        self._awaits_keyframe = (self._awaits_keyframe or self._budget.hopeless) and not (
            packet.is_keyframe and not self._budget.hopeless
        )
        return self._awaits_keyframe

    def _decoded(self, packet: AnyPacket) -> list[Any]:
        try:
            frames = [each for each in self._decoder.decode(packet) if not each.is_corrupt]
        except av.error.FFmpegError:
            self._failed()
            return []
        if frames:
            self._broken_in_a_row, self._any_good = 0, True
        return frames

    def _failed(self) -> None:
        self.broken += 1
        self._broken_in_a_row += 1
        if self._broken_in_a_row >= BROKEN_MOST:
            raise SourceError("garbage", f"{self._broken_in_a_row} pictures in a row cannot be decoded")
        if self._broken_in_a_row == TOLERANT_AFTER and self._intra and not self._any_good:
            self._decoder = _decoder(self._source, strict=False)

    def _encoded(self, frame: Any) -> list[AnyPacket]:
        at = self._time(frame)
        if at is None or (self._last is not None and self._last - _RESET < at <= self._last):
            self.broken += 1
            return []
        size = _even(frame.width, frame.height)
        if size != self._size or (self._last is not None and at < self._last):
            self._changed = self._changed or size != self._size
            self._encoder, self._size = av.CodecContext.create(ENCODER, "w"), size
            _configure(self._encoder, size)
            self._last = None
        picture = self._scaler.reformat(frame, *size, "yuv420p", dst_color_range=ColorRange.MPEG, threads=1)
        picture.pts, picture.time_base = at, Fraction(1, _HZ)
        # The decoder's own word on it, that each JPEG is a keyframe, must not stand.
        picture.pict_type = PictureType.I if self._opens_gop(at) else PictureType.NONE
        self._last = at
        return [self._named(each) for each in self._encoder.encode(picture)]

    def _opens_gop(self, at: int) -> bool:
        if self._last is None:
            self._zero, self._gop = at, 0
            return True
        # Counted from the first picture, not from the keyframe before, which may have been late: chunks would grow.
        before, self._gop = self._gop, int((at - self._zero) / (GOP_S * _HZ))
        return self._gop != before

    def _time(self, frame: Any) -> int | None:
        ticks = frame.dts if frame.pts is None else frame.pts
        return None if ticks is None else round(ticks * (frame.time_base or self._source.time_base) * _HZ)

    def _named(self, packet: Any) -> AnyPacket:
        if self._changed and packet.is_keyframe:
            whole: Any = av.Packet(self._encoder.extradata + bytes(packet))
            whole.pts, whole.dts, whole.duration = packet.pts, packet.dts, packet.duration
            whole.time_base, whole.is_keyframe = packet.time_base, True
            packet = whole
        packet.stream = self._target
        named: AnyPacket = packet
        return named

    def rest(self) -> list[AnyPacket]:
        """What the decoder still holds, at the end."""
        if self._intra:
            return []
        try:
            frames = self._decoder.decode(None)
        except av.error.FFmpegError:
            self.broken += 1
            return []
        return [each for frame in frames for each in self._encoded(frame)]


def set_up(source: Any, output: Any) -> Any:
    """Declare in *output* what *source* is converted to; raises SourceError for what cannot be."""
    size = _even(source.width, source.height)
    stream = output.add_stream(ENCODER, rate=_RATE)
    _configure(stream.codec_context, size, source.codec_context.sample_aspect_ratio)
    stream.time_base = Fraction(1, _HZ)
    return stream


def _even(width: int, height: int) -> tuple[int, int]:
    if max(width, height) > SIDE_MOST:
        raise SourceError("too-large", f"{width}x{height}; {SIDE_MOST} a side can be converted")
    if min(width, height) < 2:
        raise SourceError("garbage", f"a picture of {width}x{height}")
    return width // 2 * 2, height // 2 * 2


def _configure(context: Any, size: tuple[int, int], aspect: Fraction | None = None) -> None:
    context.width, context.height = size
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, _HZ), Fraction(_RATE)
    if aspect:
        context.sample_aspect_ratio = aspect
    context.thread_count = 1
    context.flags |= Flags.global_header
    # Quality decides, up to a bound: a wall of leaves in the wind must not fill the disk.
    most = max(500, size[0] * size[1] * 3 // 1000)
    context.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "crf": "23",
        "forced-idr": "1",
        "x264-params": f"keyint=infinite:scenecut=0:threads=1:vbv-maxrate={most}:vbv-bufsize={2 * most}",
    }
    context.open()


def _decoder(source: Any, *, strict: bool) -> Any:
    context = source.codec_context
    if context.codec.canonical_name == "mjpeg":
        context = av.CodecContext.create(context.codec.name, "r")
        # Otherwise half a JPEG is a picture, grey below.
        context.options = {"err_detect": "explode"} if strict else {}
    context.options = {**context.options, "max_pixels": str(SIDE_MOST * SIDE_MOST)}
    context.thread_count = 1
    return context
