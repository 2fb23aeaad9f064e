"""One round of a camera: the hours since the last that was closed, and a few of those before, looked at again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from functions.index.hour import write_hour
from sluice.errors import InvalidNameError
from sluice.names import CHUNKS, least_chunk_key, parse_chunk_key
from sluice.recordings.hours import HOUR_MS, hour_of, indexed_hours
from sluice.states import keep_state, read_state
from sluice.store import ObjectStore

FUNCTION: Final = "index"
CLOSED_MS: Final = 120_000
"""After its end an hour is closed: a chunk that begins in it lasts 30 s at most, and is then uploaded."""
LATE_HOURS: Final = 1
"""Before the last closed one, looked at in each round: another machine's clock was behind, or detect was."""
REVISITED: Final = 2
"""Older ones a round, in turn: all of a month within 30 hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """The object state/index/<camera>.json; lost, all hours are looked at once more."""

    closed_to_ms: int = 0
    """Every hour before it that has chunks has its index."""
    revisited_to_ms: int = 0
    """Up to here older indexes were looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round of one camera did."""

    written: int
    whole: bool
    """False: its time was over before it was through."""


def index_camera(camera: str, *, store: ObjectStore, now_ms: int, deadline: float) -> Round:
    """Bring the camera's indexes up to what the bucket has; raises UnavailableError. Two at once write the same."""
    state, etag = read_state(store, FUNCTION, camera, IndexState)
    written, closed_to_ms, stopped = 0, state.closed_to_ms, False
    since_ms = max(0, state.closed_to_ms - (LATE_HOURS + 1) * HOUR_MS)
    for hour_ms in _hours(store, camera, since_ms, now_ms):
        if time.monotonic() > deadline:
            stopped = True
            break
        closed = hour_ms + HOUR_MS + CLOSED_MS <= now_ms
        found = write_hour(store, camera, hour_ms, closed=closed, deadline=deadline)
        written += found.written
        if not found.whole:
            stopped = True
            break
        if closed:
            closed_to_ms = max(closed_to_ms, hour_ms + HOUR_MS)
    revisited_to_ms = state.revisited_to_ms
    if not stopped:
        older = list(islice(indexed_hours(store, camera, revisited_to_ms, since_ms), REVISITED))
        written += sum(write_hour(store, camera, each, closed=True, deadline=deadline).written for each in older)
        revisited_to_ms = older[-1] + HOUR_MS if len(older) == REVISITED else 0
    now = IndexState(closed_to_ms=closed_to_ms, revisited_to_ms=revisited_to_ms)
    if now != state or etag is None:
        keep_state(store, FUNCTION, camera, now, etag)
    return Round(written=written, whole=not stopped)


def _hours(store: ObjectStore, camera: str, since_ms: int, now_ms: int) -> Iterator[int]:
    """Starts of the hours that have chunks, or an index though they have none any more; none of the future."""
    indexed = set(indexed_hours(store, camera, since_ms, now_ms)) if since_ms else set[int]()
    at_ms, prefix = since_ms, f"{CHUNKS}{camera}/"
    while at_ms <= now_ms:
        recorded = _first(store, prefix, least_chunk_key(camera, at_ms)[:-1])
        known = min((each for each in indexed if each >= at_ms), default=None)
        hour_ms = min((each for each in (recorded, known) if each is not None), default=now_ms + 1)
        if hour_ms > now_ms:
            return
        yield hour_ms
        at_ms = hour_ms + HOUR_MS


def _first(store: ObjectStore, prefix: str, after: str) -> int | None:
    """The hour of the first chunk behind a key."""
    for each in store.list(prefix, after=after):
        try:
            return hour_of(parse_chunk_key(each.key).start_ms)
        except InvalidNameError:
            continue  # nothing of ours
    return None
