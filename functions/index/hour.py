"""One hour of a camera: its listing beside its index, which is made anew where they differ."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import msgspec

from functions.index.labels import labels_in
from sluice import telemetry
from sluice.contracts.index import HourIndex, IndexedChunk, LabelCount
from sluice.errors import ConflictError, InvalidNameError, ObjectNotFoundError, UnusableInputError
from sluice.names import parse_chunk_key, parse_result_key
from sluice.recordings.chunks import Recorded, kept
from sluice.recordings.hours import day_and_hour, folder_of, held, key_of
from sluice.recordings.summary import add_labels, minutes_of, spans_of
from sluice.store import ObjectStore

READERS: Final = 4
MAX_RESULT_BYTES: Final = 4 << 20
_WORK: Final = "results/detect-"

Seen = dict[str, dict[str, LabelCount]]
"""In a chunk, by model and label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What became of an hour."""

    written: bool
    whole: bool
    """False: time was over before every result was read; the rest is read next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listing:
    """The hour's chunks, as the store has them now."""

    chunks: tuple[Recorded, ...]
    listed: int
    newest_ms: int


def write_hour(store: ObjectStore, camera: str, hour_ms: int, *, closed: bool, deadline: float) -> Looked:
    """Write the hour's index if chunks or results came, or went, since it was written."""
    index, etag = held(store, camera, hour_ms)
    listing = _listing(store, folder_of(camera, hour_ms))
    known = {each.stem: each.labels for each in index.chunks} if index else {}
    stems = {each.name.stem for each in listing.chunks}
    missing = [each for each in _results(store, camera, hour_ms) if _is_new(each, known, stems)]
    seen, whole = _read(store, missing, deadline)
    same = index is not None and _is_same(index, listing) and index.closed == closed
    if same and not seen:
        return Looked(written=False, whole=whole)
    labels = {stem: {**known.get(stem, {}), **seen.get(stem, {})} for stem in stems}
    made = msgspec.json.encode(_made(camera, listing, labels, closed=closed))
    try:
        if etag is None:
            store.create(key_of(camera, hour_ms), made)
        else:
            store.replace(key_of(camera, hour_ms), made, etag=etag)
    except ConflictError:
        telemetry.current().count("index_conflicts")  # another one was here; what it missed is seen next time
        return Looked(written=False, whole=False)
    telemetry.current().count("index_written")
    return Looked(written=True, whole=whole)


def _listing(store: ObjectStore, folder: str) -> _Listing:
    found, newest_ms = list[Recorded](), 0
    for each in store.list(folder):
        try:
            found.append(Recorded(name=parse_chunk_key(each.key), size_bytes=each.size_bytes))
        except InvalidNameError:
            continue  # nothing of ours
        newest_ms = max(newest_ms, round(each.modified.timestamp() * 1000))
    return _Listing(chunks=tuple(kept(found)), listed=len(found), newest_ms=newest_ms)


def _is_same(index: HourIndex, listing: _Listing) -> bool:
    return (index.listed, index.newest_ms) == (listing.listed, listing.newest_ms)


def _results(store: ObjectStore, camera: str, hour_ms: int) -> Iterator[tuple[str, str, str]]:
    """Model, stem and key of what detect said of the hour's chunks."""
    day, hour = day_and_hour(hour_ms)
    for work in store.folders("results/"):
        if not work.startswith(_WORK):
            continue
        for each in store.list(f"{work}{camera}/{day}/{hour}/"):
            try:
                name = parse_result_key(each.key)
            except InvalidNameError:
                continue
            if name.model:
                yield name.model, name.chunk.stem, each.key


def _is_new(result: tuple[str, str, str], known: dict[str, Seen], stems: set[str]) -> bool:
    model, stem, _ = result
    return stem in stems and model not in known.get(stem, {})


def _read(store: ObjectStore, results: Sequence[tuple[str, str, str]], deadline: float) -> tuple[dict[str, Seen], bool]:
    """Labels by stem and model, and whether there was time for all; a result never changes, so it is read once."""

    def one(result: tuple[str, str, str]) -> dict[str, LabelCount] | None:
        if time.monotonic() > deadline:
            return None
        try:
            return labels_in(store.get(result[2], limit=MAX_RESULT_BYTES).body)
        except (ObjectNotFoundError, UnusableInputError):
            return {}  # retention was faster, or it is nothing of ours

    found: dict[str, Seen] = {}
    if not results:
        return found, True
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="results") as pool:
        read = list(pool.map(one, results))
    for (model, stem, _), labels in zip(results, read, strict=True):
        if labels is not None:
            found.setdefault(stem, {})[model] = labels
    return found, None not in read


def _made(camera: str, listing: _Listing, labels: dict[str, Seen], *, closed: bool) -> HourIndex:
    by_stem = {stem: _all_models(seen) for stem, seen in labels.items()}
    total: dict[str, LabelCount] = {}
    for each in by_stem.values():
        add_labels(total, each)
    return HourIndex(
        camera=camera,
        closed=closed,
        listed=listing.listed,
        newest_ms=listing.newest_ms,
        size_bytes=sum(each.size_bytes for each in listing.chunks),
        sessions=tuple(sorted({each.name.session for each in listing.chunks})),
        labels=total,
        spans=spans_of((each.name.start_ms, each.name.end_ms) for each in listing.chunks),
        minutes=minutes_of(listing.chunks, by_stem),
        chunks=tuple(
            IndexedChunk(stem=each.name.stem, size_bytes=each.size_bytes, labels=labels[each.name.stem])
            for each in listing.chunks
        ),
    )


def _all_models(seen: Seen) -> dict[str, LabelCount]:
    together: dict[str, LabelCount] = {}
    for each in seen.values():
        add_labels(together, each)
    return together
