"""Two clocks: what a camera says of its time, and what the machine's clocks say of when it arrived; pure arithmetic.

A camera's clock is trusted for durations only. Nothing arrives before it was seen, so the least of (received - media
time) over a while is what is left when jitter is taken away; the rest is slewed, never stepped.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
"""How long a packet's delay counts: longer than any stall that a network makes up for."""
SLEW: Final = 500e-6
"""Wall seconds that may be put in or left out per second of media."""
MAX_ERROR_S: Final = 1.0
"""How far tfdt and wall time may part within a session; of segmented media, beyond what lateness varies by."""
SETTLE_S: Final = 2.0
"""Servers send what they have kept (a GOP, some HLS segments) at once; while that lasts every packet looks late."""
LONGEST_SEGMENT_S: Final = 20.0
"""Of a playlist's (Apple asks for 6, RFC 8216 names no limit), with the wait for the next reading of the list."""
LEAP_S: Final = 0.5
"""A minimum that one packet moves as far has not drifted."""
STEP_S: Final = 0.5
"""The machine's clock was set, not disciplined, when it moved as far against the monotonic one."""


class Clock:
    """The monotonic clock, tied to wall time once: when the machine's clock is set it goes on."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self.epoch_s: Final = wall() - monotonic()
        """Unix time at which the monotonic clock read zero, as it was believed at the start."""
        self._seen = self.epoch_s

    def now(self) -> float:
        """Monotonic seconds."""
        return self._monotonic()

    def wall_ms(self) -> int:
        """Unix milliseconds as the monotonic clock counts them on."""
        return round((self.epoch_s + self._monotonic()) * 1000)

    def stepped_by(self) -> float | None:
        """By how many seconds the machine's clock was set since this was asked last: the fact `clock-stepped`."""
        epoch = self._wall() - self._monotonic()
        step = epoch - self._seen
        if abs(step) < STEP_S:
            return None
        self._seen = epoch
        return step


class SlidingMinimum:
    """The least of the values of the last *window_s*, each in constant time on average."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        # Rising: a value that a later one undercuts can never be the least again.
        self._rising: deque[tuple[float, float]] = deque()

    def add(self, at: float, value: float) -> float:
        """Take a value, return the least."""
        rising = self._rising
        while rising and rising[-1][1] >= value:
            rising.pop()
        rising.append((at, value))
        while rising[0][0] <= at - self._window_s:
            rising.popleft()
        return rising[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The camera's time cannot be believed any longer: the session must end."""

    reason: str
    """jump (at once), stall (it stood still), drift (little by little)."""
    error_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a chunk lies in wall time."""

    start_ms: int
    duration_ms: int
    """Wall time, so within 500 ppm of media time; the next chunk of the session starts where it ends."""
    held_ms: int
    """How much later than the clock says, as the chunk before had not ended."""

    @property
    def end_ms(self) -> int:
        """Unix milliseconds."""
        return self.start_ms + self.duration_ms


class Timeline:
    """The clocks of one session: saw() each video packet, place() each chunk, in order."""

    def __init__(self, *, epoch_s: float, floor_ms: int = 0, segmented: bool = False) -> None:
        """No chunk starts before *floor_ms*, the end of the chunk before the session.

        *segmented*: it is fetched some seconds at a time, whenever a list is read again (HLS). How late media is then
        depends on when that is, and wanders by up to a segment though nobody's clock does.
        """
        self._epoch_s = epoch_s
        self._floor_ms = floor_ms
        self._delays = SlidingMinimum(WINDOW_S)
        self._advances = SlidingMinimum(WINDOW_S) if segmented else None
        """The same with the sign changed: the least of them is the most that anything was late."""
        self._first: float | None = None
        self._delay: float | None = None
        self._anchor: float | None = None
        self._line = 0.0
        self.settled = False
        """Whether a chunk placed now is placed well."""

    @property
    def error_s(self) -> float:
        """How far the camera's clock has moved against ours since the session's first chunk."""
        return 0.0 if self._anchor is None or self._delay is None else self._delay - self._anchor

    def saw(self, received: float, media: float) -> Verdict | None:
        """Take a packet: monotonic receive time and media time, in decoding order, both in seconds."""
        before, late = self._delay, received - media
        self._delay = self._delays.add(received, late)
        most = MAX_ERROR_S
        if self._advances is not None:
            most += min(-self._advances.add(received, -late) - self._delay, LONGEST_SEGMENT_S)
        if self._first is None:
            self._first = received
        self.settled = self.settled or received - self._first >= SETTLE_S
        error = self.error_s
        if before is None or abs(error) <= most:
            return None
        leap = self._delay - before
        reason = "drift" if abs(leap) < LEAP_S else "stall" if leap > 0 else "jump"
        return Verdict(reason=reason, error_s=error)

    def place(self, start: float, end: float) -> Placed:
        """Wall time of a chunk that lies from *start* to *end* in media time, so where the one before ended."""
        if self._delay is None:
            raise ValueError("a chunk is placed after its packets were seen")
        if self._anchor is None:
            self._anchor = self._delay
            self._line = max(self._delay, self._floor_ms / 1000 - self._epoch_s - start)
        held = self._line - self._delay
        start_ms = max(self._floor_ms, self._wall_ms(start))
        # The slew lies within the chunk, so that its end is the next one's start whichever way the line moves.
        most = SLEW * (end - start)
        self._line += min(max(self._delay - self._line, -most), most)
        end_ms = max(start_ms + 1, self._wall_ms(end))
        self._floor_ms = end_ms
        return Placed(start_ms=start_ms, duration_ms=end_ms - start_ms, held_ms=max(0, round(held * 1000)))

    def _wall_ms(self, media: float) -> int:
        return round((self._epoch_s + self._line + media) * 1000)
