"""Whether something moves before a camera, from the sizes of its packets alone; nothing is decoded.

What changed between frames is what P-frames carry. Their size is taken as a share of the keyframe's, as a change of
bit rate moves both. A chunk falsely called idle is never looked at, one falsely called active costs a little time: so
`idle` wants proof, and without it the answer is `unknown`.
"""

import statistics
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from typing import Final

ACTIVE: Final = "active"
IDLE: Final = "idle"
UNKNOWN: Final = "unknown"

MEMORY: Final = 1200
"""Chunks, an hour of them: a scene changes with daylight, and one busy minute must not become the norm."""
WARM: Final = 12
"""Chunks before the first answer, half a minute: an encoder's rate control needs about as long to find its level, and
of a dozen the quietest, often the very first, is beyond the quantile."""
QUIET: Final = 0.1
"""The quantile that is taken for rest: a camera that sees nothing one tenth of the time still finds it."""
ACTIVE_OVER: Final = 1.6
"""Times rest, from here on it is active."""
IDLE_UNDER: Final = 1.3
"""Times rest, from here down it is idle; between both the last answer stays, so that none flickers."""
IDLE_SHARE: Final = 0.2
"""Of a keyframe's bytes: larger P-frames carry movement or noise, whatever the camera's rest may be."""
CONTRAST: Final = 2.0
"""Times rest: who has never shown as much may be moving all the time, as a fan or a distant road does. Rest is proven
once something else was seen beside it, and stays so while it does not rise."""
SLICE: Final = 8
"""Frames; the busiest slice counts, as somebody who crosses in half a second is gone from the mean of three."""


class Activity:
    """One a camera; seen() each video packet of a chunk, then chunk() once."""

    def __init__(self) -> None:
        self._keyframes: list[int] = []
        self._others: list[int] = []
        self._levels: deque[float] = deque()
        self._sorted: list[float] = []
        self._intra_only = False
        self._proven: float | None = None
        self._state = UNKNOWN

    def seen(self, size: int, *, keyframe: bool) -> None:
        """Take a video packet's size in bytes."""
        (self._keyframes if keyframe else self._others).append(size)

    def chunk(self) -> str:
        """The answer for the packets since the last: active, idle or unknown."""
        keyframes, others = self._keyframes, self._others
        self._keyframes, self._others = [], []
        if not keyframes or len(keyframes) + len(others) < 2:
            return UNKNOWN
        if self._intra_only == bool(others):  # the two kinds of level cannot be compared
            self.forget()
            self._intra_only = not others
        level = _busiest(others) / max(statistics.fmean(keyframes), 1) if others else _spread(keyframes)
        self._remember(level)
        if len(self._levels) >= WARM:
            self._state = self._judged(level)
        return self._state

    def forget(self) -> None:
        """Begin anew: the encoder was set otherwise, or it is another camera."""
        self._levels.clear()
        self._sorted.clear()
        self._proven = None
        self._state = UNKNOWN

    def _judged(self, level: float) -> str:
        rest = self._quantile(QUIET)
        if level > rest * CONTRAST:
            self._proven = rest
        if level > rest * ACTIVE_OVER:
            return ACTIVE
        if not self._may_be_idle(level, rest):
            return UNKNOWN if self._state == IDLE or level <= rest * IDLE_UNDER else self._state
        return IDLE if level <= rest * IDLE_UNDER else self._state

    def _may_be_idle(self, level: float, rest: float) -> bool:
        proven = self._proven is not None and rest <= self._proven * IDLE_UNDER
        return proven and (self._intra_only or level <= IDLE_SHARE)

    def _quantile(self, share: float) -> float:
        return self._sorted[int((len(self._sorted) - 1) * share)]

    def _remember(self, level: float) -> None:
        if len(self._levels) == MEMORY:
            del self._sorted[bisect_left(self._sorted, self._levels.popleft())]
        self._levels.append(level)
        insort(self._sorted, level)


def _busiest(sizes: Sequence[int]) -> float:
    slices = [sizes[at : at + SLICE] for at in range(0, len(sizes), SLICE)]
    if len(slices) > 1 and len(slices[-1]) < SLICE:
        slices[-1] = sizes[-SLICE:]  # one large frame alone is no slice
    return max(statistics.fmean(each) for each in slices)


def _spread(sizes: Sequence[int]) -> float:
    ordered = sorted(sizes)
    last = len(ordered) - 1
    return (ordered[int(last * 0.9)] - ordered[int(last * 0.1)]) / max(ordered[last // 2], 1)
