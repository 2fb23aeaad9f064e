"""The time stamps of a source made usable: wraps undone, gaps filled, what cannot be mended dropped and counted."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from segmenter.tracks import AnyPacket

Fate: TypeAlias = Literal["keep", "drop", "reset"]

WRAP: Final = 1 << 33
"""MPEG-TS counts 90 kHz in 33 bits: 26.5 hours; FFmpeg undoes the first wrap only."""
WRAP_NEAR_S: Final = 60
"""What lands farther from the last packet was no wrap."""
RESET_S: Final = 1.0
"""A step back by more is a new count; by less it is a packet out of order."""
SOUND_NEAR_S: Final = 10.0
"""Sound farther from its picture belongs to another count: one of both was reset first."""
REORDER_MOST_S: Final = 10.0
"""A picture shown as long after it is decoded has no honest time; mp4 has 32 bits for it."""
LASTS_MOST_S: Final = 30.0
"""No packet lasts longer; FFmpeg's muxer aborts the process for what does not fit."""
_WRAPPING: Final = Fraction(1, 90_000)


@dataclass(slots=True, kw_only=True)
class Counts:
    """What happened to packets, since the process started."""

    repaired: int = 0
    """A missing or standing time was filled in."""
    dropped: int = 0
    """No honest time could be found, or it came twice, or shows before anything it needs."""
    waiting: int = 0
    """Nothing to build on: they came before a session's first keyframe."""
    sound_dropped: int = 0
    unwritable: int = 0
    """Frames of chunks that the muxer refused."""


class Stamps:
    """One a connection; video() and sound() mend each packet in place and say what becomes of it."""

    def __init__(self, video: Fraction, sound: Fraction | None, counts: Counts) -> None:
        """Take the tracks' time bases."""
        self._tick_s = float(video)
        self._sound_tick_s = float(sound) if sound else 0.0
        self._wraps = video == _WRAPPING
        self._sound_wraps = self._wraps and sound == _WRAPPING
        self._counts = counts
        self._last: int | None = None
        self._last_sound: int | None = None
        self._step = 1
        self._reorders = False

    def video(self, packet: AnyPacket) -> Fate:
        """Mend a video packet: in decoding order, each later than the one before."""
        if not packet.size:
            return "drop"
        self._made_plausible(packet)
        if self._last is None:
            if packet.pts is None or packet.dts is None:
                self._counts.waiting += 1
                return "drop"
            self._begin(packet)
            return "keep"
        before = (packet.pts, packet.dts)
        fate = self._mended(packet, self._last)
        if fate == "drop":
            self._counts.dropped += 1
        elif fate == "reset":
            self._begin(packet)
        else:
            self._counts.repaired += (packet.pts, packet.dts) != before
        return fate

    def sound(self, packet: AnyPacket) -> bool:
        """Mend a packet of sound; false when it is of no use."""
        pts = self._unwrapped(packet.pts) if self._sound_wraps else packet.pts
        if pts is None or self._last is None or not packet.size:
            return False
        if abs(pts * self._sound_tick_s - self._last * self._tick_s) > SOUND_NEAR_S or (
            self._last_sound is not None and pts <= self._last_sound
        ):
            self._counts.sound_dropped += 1
            return False
        _bound_duration(packet, self._sound_tick_s)
        packet.pts = packet.dts = self._last_sound = pts
        return True

    def _made_plausible(self, packet: AnyPacket) -> None:
        _bound_duration(packet, self._tick_s)
        if self._wraps:
            packet.dts, packet.pts = self._unwrapped(packet.dts), self._unwrapped(packet.pts)
        if packet.pts is not None and packet.dts is not None:
            if self._wraps and packet.pts < packet.dts - WRAP // 2:
                packet.pts += WRAP  # the first packet of all may lie across the wrap
            if abs(packet.pts - packet.dts) * self._tick_s > REORDER_MOST_S:
                packet.pts = None

    def _begin(self, packet: AnyPacket) -> None:
        self._last, self._last_sound = packet.dts, None
        if packet.pts is not None and packet.dts is not None and packet.pts < packet.dts:
            packet.pts = packet.dts
        self._reorders = packet.pts != packet.dts

    def _mended(self, packet: AnyPacket, last: int) -> Fate:
        pts, dts = packet.pts, packet.dts
        if pts is None and self._reorders:
            return "drop"  # when it is shown can only be guessed
        if dts is None:
            dts = last + self._step if pts is None else min(pts, last + self._step) if self._reorders else pts
        pts = dts if pts is None else pts
        if (last - dts) * self._tick_s > RESET_S:
            packet.pts, packet.dts = pts, dts
            return "reset"
        if dts <= last:
            if pts <= last:
                return "drop"
            dts = last + 1
        else:
            self._step = dts - last
        packet.pts, packet.dts = max(pts, dts), dts
        self._reorders = self._reorders or pts > dts
        self._last = dts
        return "keep"

    def _unwrapped(self, ticks: int | None) -> int | None:
        if ticks is None or self._last is None:
            return ticks
        near: int = ticks + (self._last - ticks + WRAP // 2) // WRAP * WRAP
        return near if abs(near - self._last) * self._tick_s <= WRAP_NEAR_S else ticks


def _bound_duration(packet: AnyPacket, tick_s: float) -> None:
    if not 0 <= (packet.duration or 0) * tick_s <= LASTS_MOST_S:
        packet.duration = 0  # the muxer takes it from the next packet
