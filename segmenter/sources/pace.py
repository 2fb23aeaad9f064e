"""Media that comes faster than time is held back to it."""

import time
from collections.abc import Callable
from typing import Final

BURST_S: Final = 0.2
"""Packets are let go in bursts: waking up costs more than a packet."""
JUMP_S: Final = 10.0
"""A step this long, either way, is another clock: nobody waits for it."""
LATE_S: Final = 10.0
"""What was slept through is not made up for."""


class Pace:
    """One a connection."""

    def __init__(
        self, wait: Callable[[float], object], *, ahead_s: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """*wait* sleeps, and may return early; media may run ahead of time by *ahead_s*."""
        self._wait, self._ahead_s, self._now = wait, ahead_s, now
        self._zero: float | None = None
        self._last = 0.0

    def keep(self, media_s: float) -> None:
        """Return when it is time for the packet of *media_s*."""
        now, step = self._now(), media_s - self._last
        self._last = media_s
        if self._zero is None:
            self._zero = now - media_s
        elif abs(step) > JUMP_S:
            self._zero -= step
        early = self._zero + media_s - now
        if early < -LATE_S:
            self._zero = now - media_s
        elif early > self._ahead_s:
            self._wait(max(early - self._ahead_s, BURST_S))
