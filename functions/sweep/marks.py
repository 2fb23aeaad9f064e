"""What the sweeper remembers of a camera: since when each work is promised, and up to where all of it is done. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sluice.names import ChunkName

YOUNG_S: Final = 60.0
"""Younger chunks are still on their way."""
LATE_MS: Final = 3_600_000
"""A chunk may appear this far before keys that were there already: another machine's clock was behind."""
RECENT_MS: Final = 120_000
DEEP_EVERY: Final = 10
"""Rounds, one of which looks again at what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """One work, as in detect-objects."""

    since_ms: int
    """Nothing that the store had before is promised."""
    done: str = ""
    """Key of a chunk: up to it every one has its mark."""
    tries: int = 0
    """Announcements so far, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepState:
    """The object state/sweep/<camera>.json."""

    round: int = 0
    works: dict[str, Promised] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A chunk, and when the store got it: a name's time is the camera's, and may be wrong."""

    name: ChunkName
    modified_ms: int
    size_bytes: int = 0
    etag: str = ""


def attempt(age_s: float) -> int:
    """The attempt for a chunk of this age: two sweepers at once announce it under one id, and ever less often."""
    return 1 + max(0, int(math.log2(max(1.0, age_s / YOUNG_S))))


def missing(chunks: Iterable[Stored], done: Mapping[str, int], promised: Promised, *, now_ms: int) -> list[Stored]:
    """The chunks without a mark that have waited longer than usual; *done* is when each key got its mark.

    While a queue is long, what is missing waits in it: a chunk is late only when it has waited longer than the fastest
    of those that were done just now.
    """
    held = list(chunks)
    waits_s = max(YOUNG_S, _queue_s(held, done, now_ms))
    return [
        each
        for each in held
        if each.name.key not in done
        and each.modified_ms >= promised.since_ms
        and now_ms - each.modified_ms >= waits_s * 1000
    ]


def advanced(chunks: Iterable[Stored], done: Mapping[str, int], promised: Promised, *, now_ms: int) -> str:
    """The key up to which all is done and old enough that nothing can appear before it."""
    reached = promised.done
    for each in chunks:
        if now_ms - each.modified_ms < YOUNG_S * 1000:
            break
        if each.name.key not in done and each.modified_ms >= promised.since_ms:
            break
        reached = max(reached, each.name.key)
    return reached


def _queue_s(chunks: Iterable[Stored], done: Mapping[str, int], now_ms: int) -> float:
    """How long chunks wait at least; 0 when nothing was done of late, as then nothing shows a queue that moves."""
    marked = ((each.modified_ms, done[each.name.key]) for each in chunks if each.name.key in done)
    return min(((at - since) / 1000 for since, at in marked if now_ms - at <= RECENT_MS), default=0.0)
