"""When a camera was recorded, and what was seen, by buckets of time: out of the summaries of hours, and a listing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sluice.contracts.index import HourSummary, LabelCount, Minute, Span
from sluice.errors import UnavailableError
from sluice.recordings.chunks import LONGEST_MS, Recorded, kept, listed
from sluice.recordings.hours import HOUR_MS, hour_of, indexed_hours, load_each
from sluice.recordings.summary import Sum, minutes_of, spans_of
from sluice.store import ObjectStore

MOST_LISTED: Final = 100_000
"""Three days and a half that nobody has indexed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Of the chunks that begin within it."""

    at_ms: int
    size_bytes: int
    activity_ms: dict[str, int]
    labels: dict[str, LabelCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Of a range."""

    spans: tuple[Span, ...]
    buckets: tuple[Bucket, ...]
    """In order; one in which nothing was recorded is left out."""
    labelled_to_ms: int
    """Labels of what is newer come with the next index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hours:
    """Parts of the range, in order."""

    spans: tuple[Span, ...]
    minutes: tuple[Minute, ...]
    labelled_to_ms: int = 0


def timeline(store: ObjectStore, camera: str, from_ms: int, to_ms: int, *, bucket_ms: int) -> Timeline:
    """Spans within the range, and the buckets that it touches, whole minutes each."""
    first_ms = from_ms - from_ms % bucket_ms
    # A chunk that began earlier may last until there.
    parts = list(_parts(store, camera, hour_of(max(0, min(first_ms, from_ms - LONGEST_MS))), to_ms))
    sums: dict[int, Sum] = {}
    for part in parts:
        for minute in part.minutes:
            if first_ms <= minute.at_ms < to_ms:
                at_ms = minute.at_ms - minute.at_ms % bucket_ms
                sums.setdefault(at_ms, Sum()).add(minute.size_bytes, minute.activity_ms, minute.labels)
    spans = ((max(each.from_ms, from_ms), min(each.to_ms, to_ms)) for part in parts for each in part.spans)
    return Timeline(
        spans=spans_of((start_ms, end_ms) for start_ms, end_ms in spans if start_ms < end_ms),
        buckets=tuple(
            Bucket(at_ms=at_ms, size_bytes=found.size_bytes, activity_ms=found.activity_ms, labels=found.labels)
            for at_ms, found in sorted(sums.items())
        ),
        labelled_to_ms=max((part.labelled_to_ms for part in parts), default=0),
    )


def _parts(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Iterator[_Hours]:
    """Indexed hours from their indexes, the rest from the listing; an open hour from both, one after the other."""
    at, labelled_to_ms = from_ms, 0
    for hour_ms, found in load_each(store, camera, indexed_hours(store, camera, from_ms, to_ms), HourSummary):
        if found is None:
            continue
        if at < hour_ms:
            yield _listed(store, camera, at, hour_ms)
        indexed_to_ms = max((each.to_ms for each in found.spans), default=hour_ms)
        labelled_to_ms = max(labelled_to_ms, indexed_to_ms if found.spans else 0)
        yield _Hours(spans=found.spans, minutes=found.minutes, labelled_to_ms=labelled_to_ms)
        at = hour_ms + HOUR_MS if found.closed else indexed_to_ms
    if at < to_ms:
        yield _listed(store, camera, at, to_ms)


def _listed(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> _Hours:
    spans = list[Span]()

    def passing() -> Iterator[Recorded]:
        for number, each in enumerate(kept(listed(store, camera, from_ms, to_ms))):
            if number >= MOST_LISTED:
                raise UnavailableError("index", f"more than {MOST_LISTED} chunks of {camera} are not in it yet")
            before = spans.pop() if spans else None
            ends = [(before.from_ms, before.to_ms)] if before else []
            spans.extend(spans_of([*ends, (each.name.start_ms, each.name.end_ms)]))
            yield each

    minutes = minutes_of(passing(), {})
    return _Hours(spans=tuple(spans), minutes=minutes)
