"""The chunks of a camera between two times: from the indexes of closed hours, else from the listing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sluice.contracts.index import HourIndex
from sluice.errors import InvalidNameError
from sluice.names import CHUNKS, ChunkName, least_chunk_key, parse_chunk_key
from sluice.recordings.hours import HOUR_MS, indexed_hours, key_of_chunk, load_each
from sluice.store import ObjectStore

LONGEST_MS: Final = 100_000
"""No name says more: a chunk that began this long before a time may still show it."""
_LATEST_MS: Final = 9_999_999_999_999
"""Of 13 digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A chunk as it stands in the bucket."""

    name: ChunkName
    size_bytes: int


def chunks_between(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Iterator[Recorded]:
    """The chunks that show anything of *from_ms* until *to_ms*, in order of time, none of them overlapping.

    They are read as they are asked for. A hole stays a hole; a chunk that came late is there once its hour's index was
    made anew.
    """
    from_ms, to_ms = max(0, from_ms), min(to_ms, _LATEST_MS)
    for each in kept(_stored(store, camera, max(0, from_ms - LONGEST_MS), to_ms)):
        if each.name.end_ms > from_ms:
            yield each


def kept(chunks: Iterable[Recorded]) -> Iterator[Recorded]:
    """Those that one may play after another: of two segmenters at once the one that began later counts.

    Its first chunk fences the other off also where it begins too early to be played itself.
    """
    session, end_ms = -1, 0
    for each in chunks:
        if each.name.session >= session:
            session = each.name.session
            if each.name.start_ms >= end_ms:
                end_ms = each.name.end_ms
                yield each


def listed(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Iterator[Recorded]:
    """The chunks that begin at *from_ms* or later, and before *to_ms*, as the listing shows them."""
    # Without the last character it sorts before every key of that start.
    for each in store.list(f"{CHUNKS}{camera}/", after=least_chunk_key(camera, from_ms)[:-1]):
        try:
            name = parse_chunk_key(each.key)
        except InvalidNameError:
            continue  # nothing of ours
        if name.start_ms >= to_ms:
            return
        yield Recorded(name=name, size_bytes=each.size_bytes)


def _stored(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Iterator[Recorded]:
    if from_ms >= to_ms:
        return
    at = from_ms
    for hour_ms, index in load_each(store, camera, indexed_hours(store, camera, from_ms, to_ms), HourIndex):
        if index is None or not index.closed:
            continue
        if at < hour_ms:
            yield from listed(store, camera, at, hour_ms)
        for each in _indexed(index, hour_ms):
            if from_ms <= each.name.start_ms < to_ms:
                yield each
        at = hour_ms + HOUR_MS
    if at < to_ms:
        yield from listed(store, camera, at, to_ms)


def _indexed(index: HourIndex, hour_ms: int) -> Iterator[Recorded]:
    for each in index.chunks:
        name = parse_chunk_key(key_of_chunk(index.camera, hour_ms, each.stem))
        yield Recorded(name=name, size_bytes=each.size_bytes)
