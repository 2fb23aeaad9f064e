"""A camera's sessions and seqs only grow, whatever is lost and whoever else numbers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from segmenter.numbering import (
    MARGIN_MS,
    FencedError,
    Session,
    check_fence,
    checkpoint,
    newest_end_ms,
    start_session,
)
from sluice.errors import ConflictError, UnavailableError
from sluice.names import ChunkName, state_key
from sluice.store import ListedObject
from sluice.testing.store import MemoryStore

CAMERA = "gate"
STATE = state_key("segmenter", CAMERA)
NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


@dataclass(slots=True, kw_only=True)
class WatchedStore(MemoryStore):
    """Counts what its listings show."""

    shown: int = 0
    listings: int = 0

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        self.listings += 1
        for each in MemoryStore.list(self, prefix, after=after):
            self.shown += 1
            yield each


@dataclass(slots=True, kw_only=True)
class RivalStore(MemoryStore):
    """Another segmenter takes a session between our read and our write, as often as it is told."""

    rivals: int = 1
    taken: list[Session] = field(default_factory=list)

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        self._rival()
        return MemoryStore.create(self, key, body, content_type=content_type, cache_control=cache_control)

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        self._rival()
        return MemoryStore.replace(self, key, body, etag=etag, content_type=content_type, cache_control=cache_control)

    def _rival(self) -> None:
        if self.rivals:
            self.rivals, left = 0, self.rivals - 1
            self.taken.append(start_session(self, CAMERA))
            self.rivals = left


class RestlessStore(MemoryStore):
    """Somebody else always wrote first."""

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        del body, content_type, cache_control  # the port's
        raise ConflictError(key, f"etag {etag}")


def put(
    store: MemoryStore, *, start_ms: int = NOON_MS, session: int = 1, seq: int = 1, camera: str = CAMERA
) -> ChunkName:
    name = ChunkName(
        start_ms=start_ms, duration_ms=3000, session=session, seq=seq, activity="idle", init="0" * 8, camera=camera
    )
    store.put(name.key, b"")
    return name


def state_of(store: MemoryStore) -> dict[str, int]:
    state: dict[str, int] = json.loads(store.get(STATE).body)
    return state


def test_a_new_camera_begins_at_one() -> None:
    """Its state is made; nothing holds its start back."""
    store = MemoryStore()

    began = start_session(store, CAMERA)

    assert began == Session(number=1, next_seq=1, floor_ms=0)
    assert state_of(store) == {"session": 1, "next_seq": 1, "floor_ms": 0}


def test_a_session_goes_on_where_the_keys_end() -> None:
    """One past the greatest seq; it starts where the newest chunk ends."""
    store = MemoryStore()
    start_session(store, CAMERA)
    put(store, seq=1)
    newest = put(store, start_ms=NOON_MS + 3000, seq=2)

    began = start_session(store, CAMERA)

    assert began == Session(number=2, next_seq=3, floor_ms=newest.end_ms)


def test_the_greatest_seq_need_not_stand_in_the_newest_key() -> None:
    """A machine whose clock is behind went on with seqs of its own."""
    store = MemoryStore()
    put(store, start_ms=NOON_MS - MARGIN_MS, seq=9)
    checkpoint(store, CAMERA, session=1, next_seq=3, floor_ms=NOON_MS)
    put(store, start_ms=NOON_MS, seq=3)

    assert start_session(store, CAMERA).next_seq == 10


def test_the_longest_chunk_may_end_last_though_it_is_not_the_newest() -> None:
    """The floor is the greatest end among the keys."""
    store = MemoryStore()
    longest = ChunkName(
        start_ms=NOON_MS, duration_ms=30_000, session=1, seq=1, activity="idle", init="0" * 8, camera=CAMERA
    )
    store.put(longest.key, b"")
    put(store, start_ms=NOON_MS + 3000, session=2, seq=1)

    assert start_session(store, CAMERA).floor_ms == longest.end_ms


def test_what_the_state_knows_is_kept_when_the_keys_are_gone() -> None:
    """Retention may have deleted all but the newest, a purge all."""
    store = MemoryStore()
    checkpoint(store, CAMERA, session=7, next_seq=1000, floor_ms=NOON_MS)

    assert start_session(store, CAMERA) == Session(number=8, next_seq=1000, floor_ms=NOON_MS)


@pytest.mark.parametrize("body", [None, b"", b"\xff", b"[]", b'{"session": "many"}'])
def test_a_lost_state_is_found_again_in_the_keys(body: bytes | None) -> None:
    """Session, too: a lower one would be ignored for ever."""
    store = MemoryStore()
    if body is not None:
        store.put(STATE, body)
    newest = put(store, session=41, seq=99)

    assert start_session(store, CAMERA) == Session(number=42, next_seq=100, floor_ms=newest.end_ms)


def test_other_cameras_and_foreign_keys_count_for_nothing() -> None:
    """A camera's name may be the beginning of another's."""
    store = MemoryStore()
    put(store, session=5, seq=50, camera=f"{CAMERA}2")
    store.put(f"chunks/{CAMERA}/zz/readme.txt", b"")

    assert start_session(store, CAMERA) == Session(number=1, next_seq=1, floor_ms=0)


def test_a_listing_shows_only_what_the_state_cannot_know() -> None:
    """From shortly before the last checkpoint on; weeks of chunks are not walked."""
    store = WatchedStore()
    for seq in range(1, 2001):
        put(store, start_ms=NOON_MS + seq * HOUR_MS // 10, seq=seq)
    checkpoint(store, CAMERA, session=1, next_seq=1995, floor_ms=NOON_MS + 1995 * HOUR_MS // 10)

    assert start_session(store, CAMERA).next_seq == 2001
    assert (store.listings, store.shown) == (1, 7)


def test_without_a_state_the_newest_keys_are_found_by_halving() -> None:
    """However long ago the camera rested: a page each, not days of pages."""
    store = WatchedStore()
    for seq in range(1, 2001):
        put(store, start_ms=NOON_MS + seq * HOUR_MS // 10, seq=seq)

    assert start_session(store, CAMERA).next_seq == 2001
    assert store.listings < 30
    assert store.shown < 60


@pytest.mark.parametrize("rivals", [1, 3])
def test_two_that_start_at_once_get_sessions_of_their_own(rivals: int) -> None:
    """Who lost the write reads again."""
    store = RivalStore(rivals=rivals)

    mine = start_session(store, CAMERA)

    assert [each.number for each in (*store.taken, mine)] == [*range(1, rivals + 2)]


def test_a_state_that_never_stands_still_is_given_up_for_now() -> None:
    """In bounded time; the uploader tries again later."""
    store = RestlessStore()
    store.put(STATE, b"{}")

    with pytest.raises(UnavailableError, match="others wrote first"):
        start_session(store, CAMERA)


def test_a_checkpoint_records_how_far_a_session_came() -> None:
    """And never takes a number back."""
    store = MemoryStore()
    began = start_session(store, CAMERA)
    checkpoint(store, CAMERA, session=began.number, next_seq=12, floor_ms=NOON_MS)

    checkpoint(store, CAMERA, session=began.number, next_seq=11, floor_ms=NOON_MS - 1)

    assert state_of(store) == {"session": 1, "next_seq": 12, "floor_ms": NOON_MS}


def test_the_loser_is_told_that_it_is_fenced() -> None:
    """Readers ignore what it puts; the winner's state stays as it is."""
    store = MemoryStore()
    loser, winner = start_session(store, CAMERA), start_session(store, CAMERA)
    before = state_of(store)

    with pytest.raises(FencedError, match="session 1 is over, session 2 has begun"):
        checkpoint(store, CAMERA, session=loser.number, next_seq=5, floor_ms=NOON_MS)

    assert state_of(store) == before
    checkpoint(store, CAMERA, session=winner.number, next_seq=2, floor_ms=NOON_MS)


def test_a_checkpoint_that_meets_a_new_session_is_fenced_by_it() -> None:
    """Also when it began between our read and our write."""
    store = RivalStore(rivals=0)
    mine = start_session(store, CAMERA)
    store.rivals = 1

    with pytest.raises(FencedError):
        checkpoint(store, CAMERA, session=mine.number, next_seq=5, floor_ms=NOON_MS)

    assert state_of(store)["session"] == mine.number + 1


def test_a_checkpoint_makes_a_deleted_state_again() -> None:
    """With the session that runs."""
    store = MemoryStore()
    began = start_session(store, CAMERA)
    store.delete([STATE])

    checkpoint(store, CAMERA, session=began.number, next_seq=4, floor_ms=NOON_MS)

    assert state_of(store) == {"session": 1, "next_seq": 4, "floor_ms": NOON_MS}


def test_a_store_that_is_down_numbers_nothing() -> None:
    """The caller spools and tries again."""
    with pytest.raises(UnavailableError):
        start_session(MemoryStore(down=True), CAMERA)


def test_a_session_learns_that_a_newer_one_has_begun() -> None:
    """Without a write; its own, and a state that was lost, fence nobody."""
    store = MemoryStore()
    began = start_session(store, CAMERA)

    check_fence(store, CAMERA, session=began.number)
    store.delete([STATE])
    check_fence(store, CAMERA, session=began.number)
    for _ in range(2):
        newer = start_session(store, CAMERA)

    with pytest.raises(FencedError) as caught:
        check_fence(store, CAMERA, session=began.number)
    assert (caught.value.session, caught.value.newest) == (began.number, newer.number)


@pytest.mark.parametrize("remembered", [True, False])
def test_where_the_chunks_end_is_seen_in_their_keys(remembered: bool) -> None:
    """The state knows it since the last checkpoint only, and may be gone; with no chunk it is the beginning of time."""
    store = MemoryStore()
    assert newest_end_ms(store, CAMERA) == 0
    began = start_session(store, CAMERA)
    assert newest_end_ms(store, CAMERA) == 0

    for number in range(3):
        start_ms = NOON_MS + number * HOUR_MS
        name = ChunkName(
            camera=CAMERA,
            start_ms=start_ms,
            duration_ms=3000,
            session=began.number,
            seq=number + 1,
            activity="active",
            init="0123abcd",
        )
        store.put(name.key, b"")
    checkpoint(store, CAMERA, session=began.number, next_seq=2, floor_ms=NOON_MS + 3000)
    if not remembered:
        store.delete([STATE])

    assert newest_end_ms(store, CAMERA) == NOON_MS + 2 * HOUR_MS + 3000
