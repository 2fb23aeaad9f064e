"""When pictures are decoded, where a protocol says only when they are shown; pure."""

from bisect import insort
from fractions import Fraction
from itertools import pairwise
from typing import Final, Generic, TypeVar

from segmenter.sources.reordering import DEPTH_MOST, Reordering

LOOK_S: Final = 1.0
JUMP_S: Final = 10.0
"""A picture farther from the one before belongs to another count."""

T = TypeVar("T")


class DecodingTimes(Generic[T]):
    """Pictures in the order of decoding: each is decoded when the one is shown that lies as many back as are reordered.

    Where the parameter sets do not say how many, the first pictures are held until it is seen, for a second at most;
    what is seen later counts from then on.
    """

    def __init__(self, tick: Fraction, told: Reordering) -> None:
        """*tick*: the time base, in seconds."""
        self._jump, self._look = int(JUMP_S / tick), int(LOOK_S / tick)
        self._depth = told.depth
        self._step = None if told.picture_s is None else max(1, round(told.picture_s / tick))
        self._held: list[tuple[int, T]] = []
        self._waiting: list[int] = []
        """When the pictures are shown at whose times none is decoded yet; rising."""
        self._last: int | None = None
        self._shown = 0

    def add(self, shown: int, picture: T) -> list[tuple[int, int, T]]:
        """Take a picture; returns those whose times are known: shown, decoded."""
        if self._depth == 0 or (self._depth is not None and self._step is not None):
            return [(*self._times(shown), picture)]
        self._held.append((shown, picture))
        first = self._held[0][0]
        if len(self._held) <= DEPTH_MOST and abs(shown - first) < self._look:
            return []
        return self.rest()

    def rest(self) -> list[tuple[int, int, T]]:
        """Nothing follows for now: what was held."""
        held, self._held = self._held, []
        if not held:
            return []
        times = sorted({shown for shown, _ in held})
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self._step = self._step or min(gaps, default=1)
        if self._depth is None:
            self._depth = max(_overtaken([shown for shown, _ in held]))
        return [(*self._times(shown), picture) for shown, picture in held]

    def _times(self, shown: int) -> tuple[int, int]:
        depth, step, last, waiting = self._depth or 0, self._step or 1, self._last, self._waiting
        if last is None or abs(shown - self._shown) > self._jump:
            waiting.clear()
            decoded = shown - depth * step
        else:
            nearest = waiting[0] if waiting and waiting[0] < shown else shown
            decoded = max(last + 1, nearest if len(waiting) >= depth else min(last + step, nearest))
        self._shown = shown
        insort(waiting, shown)
        if decoded > shown and depth < DEPTH_MOST:
            depth = self._depth = depth + 1
        if len(waiting) > depth:
            del waiting[0]
        self._last = decoded
        return max(shown, decoded), decoded


def _overtaken(times: list[int]) -> list[int]:
    """How many pictures that are shown after it come before each."""
    return [sum(before > shown for before in times[:at]) for at, shown in enumerate(times)]
