"""The test pattern as a camera: `test://?size=1280x720&fps=25&gop=50&bf=2&codec=h264&audio=1`.

A clip of whole GOPs is encoded once for all cameras with the same options and played for ever, in real time, with time
stamps that go on. Frame n is shown at n/fps and says n in its packet (sei.frame_number); the strip in its picture says
n modulo the clip's length, and the square is where square_at(strip's number) says, so it jumps where the clip begins
again. `live=1` draws each frame when it is due instead: strip and square go on, and the strip has the clock.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any, Final

from segmenter.sei import numbered
from segmenter.source import Connection, SourceError
from segmenter.sources.clips import Clip, Drawn, Pattern
from segmenter.tracks import AnyPacket

__all__ = ["testpattern"]

BURST_S: Final = 0.2
"""Packets are given out in bursts: waking up is what costs."""
BEHIND_MOST_S: Final = 30.0
"""A reader that is so late has slept, as the machine did; it begins anew where the camera is now."""


class PatternCamera:
    """One camera; its numbers go on from connection to connection, as its pictures would have."""

    def __init__(self, pattern: Pattern, *, clock: Callable[[], float], wait: Callable[[float], bool] | None) -> None:
        self._pattern = pattern
        self._clock = clock
        self._over = Event()
        self._wait = wait or self._over.wait
        self._began: float | None = None
        self._drawn = Drawn(pattern, self._over)
        self._newest: ClipConnection | None = None

    def open(self) -> Connection:
        """Encode the clip, if it is the first with these options, or begin to draw."""
        if self._over.is_set():
            raise SourceError("stopped", "interrupted")
        if self._began is None:
            self._began = self._clock()
        if self._pattern.live:
            return LiveConnection(self._drawn, first=self._now())
        clip = self._drawn.clip()
        self._newest = ClipConnection(
            clip, self._pattern, clock=self._clock, wait=self._wait, first=self._next_gop(self._newest)
        )
        return self._newest

    def interrupt(self) -> None:
        """End it, also while it is encoded."""
        self._over.set()
        self._drawn.stop()

    def _now(self) -> int:
        return int((self._clock() - (self._began or 0.0)) * self._pattern.fps)

    def _next_gop(self, before: "ClipConnection | None") -> int:
        # No number twice: the connection before may have begun a part of a GOP early.
        free = max(self._now(), before.following if before else 0)
        return -(-free // self._pattern.gop) * self._pattern.gop


class ClipConnection:
    """The clip, looped."""

    gather_s = 0.0
    transcoding = None

    def __init__(
        self, clip: Clip, pattern: Pattern, *, clock: Callable[[], float], wait: Callable[[float], bool], first: int
    ) -> None:
        self._clip, self._pattern, self._clock, self._wait = clip, pattern, clock, wait
        self._first = first
        self.following = first
        """Number of the picture, in decoding order, that comes next."""
        self.container = clip.opened()

    def packets(self) -> Iterator[AnyPacket]:
        """By decoding time, in bursts; ends when the source is interrupted."""
        began, burst = self._clock() - self._first / self._pattern.fps, self._first / self._pattern.fps
        video = self._pictures()
        sound = self._sound()
        due, packet = next(video)
        heard, sung = next(sound)
        while True:
            burst += BURST_S
            late = self._clock() - began - burst
            if late > BEHIND_MOST_S:
                raise SourceError("ended", f"nothing was read for {late:.0f} s")
            if late < 0 and self._wait(-late):
                return
            while min(due, heard) < burst:
                if due <= heard:
                    yield packet
                    due, packet = next(video)
                else:
                    yield sung
                    heard, sung = next(sound)

    def close(self) -> None:
        """Give the container back; the clip stays as long as a camera has it."""
        self.container.close()

    def _pictures(self) -> Iterator[tuple[float, AnyPacket]]:
        clip, fps = self._clip, self._pattern.fps
        stream = self.container.streams.video[0]
        # An mp4's time scale is a multiple of the frame rate, so no time is rounded, ever.
        step = stream.time_base.denominator // fps
        count = len(clip.pictures)
        at = self._first
        while True:
            each = clip.pictures[at % count]
            shown = at - at % count + each.shown
            body = numbered(each.body, shown, codec=clip.codec, length_size=4) if clip.codec else bytes(each.body)
            packet = _packet(body, stream)
            packet.is_keyframe = each.keyframe
            packet.pts, packet.dts, packet.duration = (shown + clip.reorder) * step, at * step, step
            yield at / fps, packet
            at += 1
            self.following = at

    def _sound(self) -> Iterator[tuple[float, AnyPacket]]:
        if not self._clip.sound:
            while True:
                yield float("inf"), _packet(b"", self.container.streams.video[0])
        stream = self.container.streams.audio[0]
        rate, frame = stream.time_base.denominator, self._clip.sound_samples
        at = self._first * rate // self._pattern.fps // frame
        # Decoding times of pictures run ahead of when they are shown: so does the sound.
        delay = self._clip.reorder * rate // self._pattern.fps
        while True:
            packet = _packet(bytes(self._clip.sound[at % len(self._clip.sound)]), stream)
            packet.is_keyframe = True
            packet.pts = packet.dts = at * frame + delay
            packet.duration = frame
            yield at * frame / rate, packet
            at += 1


class LiveConnection:
    """Frames drawn when they are due, by a process of their own."""

    gather_s = BURST_S
    transcoding = None

    def __init__(self, drawn: Drawn, *, first: int) -> None:
        self._drawn = drawn
        self.container: Any = drawn.live(first)

    def packets(self) -> Iterator[AnyPacket]:
        """As they are drawn; ends with the process that draws."""
        yield from self._drawn.packets(self.container)

    def close(self) -> None:
        """End the process."""
        self._drawn.stop()
        self.container.close()


def _packet(body: bytes, stream: Any) -> Any:
    import av

    packet: Any = av.Packet(body)
    packet.stream, packet.time_base = stream, stream.time_base
    return packet


def testpattern(
    options: Mapping[str, str],
    *,
    clock: Callable[[], float] = time.monotonic,  # noqa: PT028 (it is no test)
    wait: Callable[[float], bool] | None = None,  # noqa: PT028 (same)
) -> PatternCamera:
    """Make it from a URL's options; raises UnusableInputError. *wait* says whether it is over, as Event.wait does."""
    return PatternCamera(Pattern.of(options), clock=clock, wait=wait)
