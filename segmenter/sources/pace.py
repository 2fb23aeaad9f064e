"""Media that comes faster than time is held back to it."""

import time
from collections.abc import Callable
from typing import Final

BURST_S: Final = 0.2
"""Packets are let go in bursts: waking up costs more than a packet."""
JUMP_S: Final = 60.0
LATE_S: Final = 10.0


class Pace:
    """One a connection."""

    def __init__(
        self, wait: Callable[[float], object], *, ahead_s: float = 0.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """*wait* sleeps, and may return early; media may run ahead of time by *ahead_s*."""
        self._wait, self._ahead_s, self._now = wait, ahead_s, now
        self._origin: float | None = None

    def keep(self, media_s: float) -> None:
        """Return when it is time for what is shown at *media_s*."""
        now = self._now()
        if self._origin is None:
            self._origin = now - media_s
        early = self._origin + media_s - now
        if early > JUMP_S + self._ahead_s or early < -LATE_S:
            # Its clock jumped, or the machine slept: neither is made up for.
            self._origin = now - media_s
        elif early > self._ahead_s:
            self._wait(max(early - self._ahead_s, BURST_S))
