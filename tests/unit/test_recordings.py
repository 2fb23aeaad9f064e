"""Chunks between two times: the same from indexes and from the listing, of two segmenters those of the later one."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.contracts.index import HourIndex, IndexedChunk
from sluice.names import ChunkName
from sluice.recordings.chunks import chunks_between
from sluice.recordings.hours import HOUR_MS, hour_of, key_of
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_name

CAMERA = "gate"


def stored(store: MemoryStore, *names: ChunkName) -> None:
    for name in names:
        store.put(name.key, b"x" * name.seq)


def indexed(store: MemoryStore, names: list[ChunkName], *, closed: bool = True) -> None:
    """Put indexes that name these chunks."""
    for hour_ms in {hour_of(name.start_ms) for name in names}:
        chunks = tuple(
            IndexedChunk(stem=name.stem, size_bytes=name.seq) for name in names if hour_of(name.start_ms) == hour_ms
        )
        index = HourIndex(
            camera=CAMERA,
            closed=closed,
            listed=len(chunks),
            newest_ms=0,
            size_bytes=0,
            sessions=(),
            labels={},
            spans=(),
            minutes=(),
            chunks=chunks,
        )
        store.put(key_of(CAMERA, hour_ms), msgspec.json.encode(index))


def run(start_ms: int, count: int, *, first_seq: int = 1, session: int = 1, every_ms: int = 3000) -> list[ChunkName]:
    return [
        a_chunk_name(start_ms=start_ms + each * every_ms, duration_ms=3000, seq=first_seq + each, session=session)
        for each in range(count)
    ]


def found(store: MemoryStore, from_ms: int, to_ms: int) -> list[ChunkName]:
    return [each.name for each in chunks_between(store, CAMERA, from_ms, to_ms)]


def test_a_range_has_every_chunk_that_shows_anything_of_it() -> None:
    """Also the one that began before it; none that ends where it begins, or begins where it ends."""
    store, names = MemoryStore(), run(NOON_MS, 10)
    stored(store, *names)

    assert found(store, NOON_MS + 3000, NOON_MS + 9000) == names[1:3]
    assert found(store, NOON_MS + 4000, NOON_MS + 9001) == names[1:4]
    assert found(store, NOON_MS + 30_000, NOON_MS + 60_000) == []
    assert found(store, NOON_MS, NOON_MS) == []


def test_closed_hours_are_read_from_their_indexes_and_the_rest_is_listed() -> None:
    """A chunk that only the index knows is there, one of an hour that goes on is there without an index."""
    store = MemoryStore()
    known, listed = run(NOON_MS - 6000, 2), run(NOON_MS, 2, first_seq=3)
    indexed(store, known)
    stored(store, *listed)

    assert found(store, NOON_MS - 6000, NOON_MS + 6000) == known + listed


def test_an_index_of_an_hour_that_goes_on_hides_nothing() -> None:
    """What came since is listed; the same where an index cannot be read."""
    store, names = MemoryStore(), run(NOON_MS, 4)
    stored(store, *names)
    indexed(store, names[:2], closed=False)

    assert found(store, NOON_MS, NOON_MS + HOUR_MS) == names

    store.put(key_of(CAMERA, NOON_MS), b"{")

    assert found(store, NOON_MS, NOON_MS + HOUR_MS) == names


def test_of_two_segmenters_the_later_session_counts() -> None:
    """A fenced one may upload for a while; nobody sees its chunks once the other one's are there."""
    store = MemoryStore()
    old, new = run(NOON_MS, 4), run(NOON_MS + 4000, 3, session=2, first_seq=2)
    stored(store, *old, *new)

    assert found(store, NOON_MS, NOON_MS + 60_000) == [*old[:2], *new[1:]]


def test_what_is_no_chunk_is_passed_over() -> None:
    """Of whatever somebody else put there."""
    store, names = MemoryStore(), run(NOON_MS, 2)
    stored(store, *names)
    store.put(names[0].key.replace(".mp4", ".txt"), b"")
    store.put("index/gate/readme", b"")
    store.put("index/gate/2026-11-21/99.json", b"")

    assert found(store, NOON_MS, NOON_MS + HOUR_MS) == names


@given(
    holes=st.lists(st.booleans(), min_size=40, max_size=40),
    hours=st.sets(st.integers(0, 3)),
    first=st.integers(-60, 260),
    length=st.integers(0, 260),
)
@settings(max_examples=60, deadline=None)
def test_indexes_and_listing_say_the_same(holes: list[bool], hours: set[int], first: int, length: int) -> None:
    """Whatever hours are indexed, and whatever range is asked for."""
    every_ms = 4 * HOUR_MS // 40
    names = [name for name, hole in zip(run(NOON_MS, 40, every_ms=every_ms), holes, strict=True) if not hole]
    plain, with_indexes = MemoryStore(), MemoryStore()
    stored(plain, *names)
    stored(with_indexes, *names)
    indexed(with_indexes, [name for name in names if (name.start_ms - NOON_MS) // HOUR_MS in hours])
    from_ms = NOON_MS + first * 60_000
    to_ms = from_ms + length * 60_000

    assert found(with_indexes, from_ms, to_ms) == found(plain, from_ms, to_ms)
    assert found(plain, from_ms, to_ms) == [name for name in names if name.start_ms < to_ms and name.end_ms > from_ms]


@pytest.mark.parametrize(("from_ms", "to_ms"), [(0, 1), (0, 10**18), (-(10**18), 10**18), (10**13, 10**18)])
def test_no_range_is_too_odd(from_ms: int, to_ms: int) -> None:
    """Times that no name can say hold nothing, or all there is."""
    store = MemoryStore()
    names = [replace(run(NOON_MS, 1)[0], start_ms=each) for each in (3000, NOON_MS)]
    stored(store, *names)

    assert set(found(store, from_ms, to_ms)) <= set(names)
