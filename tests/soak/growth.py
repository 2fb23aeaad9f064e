"""Whether something grows: a slope that no single sample can bend."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

MOST = 200
"""Samples that are compared with one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a figure did over a time."""

    name: str
    first: float
    last: float
    most: float
    grown: float
    """Slope (Theil and Sen's: the median of all pairs) times the time watched."""
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Shrinking is no growth."""
        return self.grown <= self.allowed

    def __str__(self) -> str:
        verdict = "flat" if self.is_flat else "GROWS"
        shown = f"{self.name}: {self.first:.1f} -> {self.last:.1f}, most {self.most:.1f}"
        return f"{shown}; slope over the time watched {self.grown:+.1f} (allowed {self.allowed:g}): {verdict}"


def growth(name: str, samples: Sequence[tuple[float, float]], *, allowed: float) -> Growth:
    """Of (time, value), in order of time."""
    thinned = samples[:: max(1, len(samples) // MOST)]
    slopes = [(later - earlier) / (t1 - t0) for (t0, earlier), (t1, later) in combinations(thinned, 2) if t1 > t0]
    assert slopes, f"{name}: too few samples, {len(samples)}"
    assert all(before[0] <= after[0] for before, after in pairwise(samples)), f"{name}: time falls"
    third = max(1, len(samples) // 3)
    return Growth(
        name=name,
        first=statistics.median(value for _, value in samples[:third]),
        last=statistics.median(value for _, value in samples[-third:]),
        most=max(value for _, value in samples),
        grown=statistics.median(slopes) * (samples[-1][0] - samples[0][0]),
        allowed=allowed,
    )
