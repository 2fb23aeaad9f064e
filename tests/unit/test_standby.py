"""Who lost a camera takes it back when nobody records it any more, and not before."""

from dataclasses import dataclass, field

import pytest

from segmenter.fleet.standby import SILENT_S, Standby
from sluice.errors import UnavailableError
from sluice.store import StoredObject
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_name


@dataclass(slots=True, kw_only=True)
class GoingStore(MemoryStore):
    """It can be away."""

    away: bool = False

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        if self.away:
            raise UnavailableError("store", "away")
        return MemoryStore.get(self, key, first=first, last=last, limit=limit)


@dataclass(slots=True, kw_only=True)
class Watch:
    """A standby, its store and the time."""

    store: GoingStore = field(default_factory=GoingStore)
    now: list[float] = field(default_factory=lambda: [1000.0])

    def standby(self) -> Standby:
        """After a chunk was put."""
        self.put(1)
        return Standby(self.store, "gate", now=lambda: self.now[0])

    def put(self, seq: int) -> None:
        """The other segmenter's."""
        self.store.put(a_chunk_name(seq=seq, start_ms=NOON_MS + seq * 2000).key, b"")


def test_a_camera_is_free_when_no_chunk_came_for_long_enough() -> None:
    """Whatever the machines' clocks say: the names are from another year."""
    watch = Watch()
    standby = watch.standby()

    looks = []
    for seconds in (0, SILENT_S - 1, 1):
        watch.now[0] += seconds
        looks.append(standby.is_free())

    assert looks == [False, False, True]


def test_each_chunk_makes_it_wait_anew() -> None:
    """Somebody records."""
    watch = Watch()
    standby = watch.standby()
    standby.is_free()
    watch.now[0] += SILENT_S - 1
    watch.put(2)

    assert not standby.is_free()
    watch.now[0] += SILENT_S - 1
    assert not standby.is_free()
    watch.now[0] += 1
    assert standby.is_free()


def test_after_an_outage_of_the_store_who_records_has_time_to_upload() -> None:
    """Who took over at once would have the other throw away what it spooled."""
    watch = Watch()
    standby = watch.standby()
    standby.is_free()
    watch.store.away = True
    watch.now[0] += SILENT_S
    with pytest.raises(UnavailableError):
        standby.is_free()
    watch.store.away = False
    watch.now[0] += SILENT_S

    assert not standby.is_free()
    watch.now[0] += SILENT_S
    assert standby.is_free()


def test_what_was_free_once_is_watched_anew() -> None:
    """It may be lost again at once."""
    watch = Watch()
    standby = watch.standby()
    standby.is_free()
    watch.now[0] += SILENT_S

    assert [standby.is_free(), standby.is_free()] == [True, False]
