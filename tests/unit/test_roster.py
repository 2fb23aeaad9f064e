"""Which cameras there are: the objects decide, the copy hints, and what was known outlives both."""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from segmenter.fleet.roster import Roster
from sluice import cameras
from sluice.contracts.camera import Camera
from sluice.errors import StoreError
from sluice.names import camera_key
from sluice.store import ListedObject
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import BUCKETS, CAMERAS, CONSUMERS, STREAMS

LONG_S = 10.0
NEVER_S = 3600.0
GATE = Camera(name="gate", source="rtsp://user:secret@camera/1")
YARD = Camera(name="yard", source="rtsp://camera/2")


@dataclass(slots=True, kw_only=True)
class GatedStore(MemoryStore):
    """Lists what was there when it was asked, but answers when it may; `lists` counts."""

    may_list: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    refuses: bool = False
    lists: int = 0

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        self.lists += 1
        if self.refuses:
            raise StoreError("AccessDenied")
        found = [*MemoryStore.list(self, prefix, after=after)]
        self.asked.set()
        assert self.may_list.wait(LONG_S)
        yield from found


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A roster and those around it."""

    cache: Path
    store: GatedStore = field(default_factory=GatedStore)
    bus: MemoryBus = field(default_factory=MemoryBus)
    news: list[Mapping[str, Camera]] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)
    rosters: list[Roster] = field(default_factory=list)

    def start(self, *, refresh_s: float = NEVER_S) -> Roster:
        """Looking from now on."""
        roster = Roster(self.store, self.bus, cache=self.cache, refresh_s=refresh_s, changed=self._changed)
        self.rosters.append(roster)
        roster.start()
        return roster

    def _changed(self, known: Mapping[str, Camera]) -> None:
        with self.heard:
            self.news.append(known)
            self.heard.notify_all()

    def save(self, *wanted: Camera) -> None:
        """As an operator does."""
        for camera in wanted:
            assert cameras.save(self.store, self.bus, camera) is None

    def until(self, *wanted: Camera) -> None:
        """Exactly these are known."""
        expected = {camera.name: camera for camera in wanted}
        self.wait(lambda: bool(self.news) and dict(self.news[-1]) == expected)

    def wait(self, holds: Callable[[], bool]) -> None:
        """With a deadline; changes of the bus and of what is known wake it."""
        with self.heard:
            if self.heard.wait_for(holds, LONG_S):
                return
        pytest.fail(f"known: {self.news[-1:]}")

    def copy(self) -> dict[str, Camera]:
        """What the KV bucket says."""
        entries = self.bus.entries(CAMERAS.name).entries
        return {key: cameras.decode(each.value, name=key) for key, each in entries.items() if each.value is not None}

    def until_copied(self, *wanted: Camera) -> None:
        """The KV bucket says the same as the objects."""
        expected = {camera.name: camera for camera in wanted}
        with self.bus.still:
            assert self.bus.still.wait_for(lambda: self.copy() == expected, LONG_S), self.copy()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A store that answers, and NATS."""
    line = Line(cache=tmp_path / "cameras.json")
    line.store.may_list.set()
    yield line
    line.store.may_list.set()
    for roster in line.rosters:
        roster.end()


def test_objects_are_found_and_changes_come_at_once(line: Line) -> None:
    """Added, changed and removed, long before the next listing is due."""
    line.save(GATE)
    line.start()
    line.until(GATE)

    line.save(YARD)
    line.until(GATE, YARD)
    changed = replace(GATE, paused=True)
    line.save(changed)
    line.until(changed, YARD)
    cameras.remove(line.store, line.bus, "gate")

    line.until(YARD)


def test_an_old_copy_starts_nothing(line: Line) -> None:
    """The camera was removed while NATS was away: the copy that is left is removed instead."""
    line.save(GATE, YARD)
    line.store.delete([camera_key("yard")])

    line.start(refresh_s=0.05)

    line.until(GATE)
    line.until_copied(GATE)
    assert all(set(each) == {"gate"} for each in line.news)


def test_a_lost_copy_takes_no_camera_away(line: Line) -> None:
    """It is written again instead."""
    line.save(GATE, YARD)
    line.start(refresh_s=0.05)
    line.until(GATE, YARD)

    line.bus.bucket(CAMERAS.name).delete("gate")

    line.until_copied(GATE, YARD)
    assert len(line.news) == 1


def test_the_copy_is_seeded_again_after_nats_was_wiped(line: Line) -> None:
    """A bucket that is gone tells no watcher."""
    line.save(GATE, YARD)
    line.start(refresh_s=0.05)
    line.until(GATE, YARD)

    line.bus.wipe()
    line.bus.ensure(STREAMS, CONSUMERS, BUCKETS)

    line.until_copied(GATE, YARD)
    assert len(line.news) == 1


def test_with_the_store_away_at_the_start_the_copy_tells(line: Line) -> None:
    """And later changes too; when the store is back the objects decide again."""
    line.save(GATE)
    line.store.down = True
    line.start(refresh_s=0.05)
    line.until(GATE)
    line.bus.bucket(CAMERAS.name).put("yard", cameras.encode(YARD))
    line.until(GATE, YARD)

    line.store.down = False

    line.until(GATE)


def test_with_both_away_the_cache_tells(line: Line) -> None:
    """What this machine knew last; only its owner may read it, as sources hold passwords."""
    line.save(GATE, YARD)
    line.start()
    line.until(GATE, YARD)
    assert line.cache.stat().st_mode & 0o777 == 0o600
    assert "secret" in line.cache.read_text("utf-8")
    line.rosters[0].end()
    line.news.clear()
    line.store.down, line.bus.available = True, False

    roster = line.start()

    line.until(GATE, YARD)
    assert roster.camera("gate") == GATE


def test_with_nothing_at_all_nobody_pretends_to_know(line: Line) -> None:
    """No camera is another thing than no knowledge: readiness shows it."""
    line.store.down, line.bus.available = True, False
    roster = line.start(refresh_s=0.01)
    with line.heard:
        line.heard.wait_for(lambda: line.store.lists > 3, 0.2)

    assert not roster.is_known
    line.store.down = False

    line.until()
    assert roster.is_known


@pytest.mark.parametrize("content", ["", "[]", "[1]", "null", '"x"', "{", "\x00"])
def test_a_cache_of_nonsense_is_nothing(line: Line, content: str) -> None:
    """The process begins all the same."""
    line.cache.write_text(content, "utf-8")
    line.store.down, line.bus.available = True, False
    line.start(refresh_s=0.01)

    line.store.down = False
    line.store.put(camera_key("gate"), cameras.encode(GATE))

    line.until(GATE)


def test_one_bad_camera_of_the_cache_costs_itself(line: Line) -> None:
    """A disk that lost a block, or a newer version that was here before."""
    held = {"gate": {"name": "gate", "source": 3}, "yard": {"name": "yard", "source": YARD.source}}
    line.cache.write_text(json.dumps(held), "utf-8")
    line.store.down, line.bus.available = True, False

    line.start()

    line.until(YARD)


def test_an_object_that_cannot_be_read_takes_no_camera_away(line: Line) -> None:
    """The last good one stays, the others are followed, and the trouble is told."""
    line.save(GATE)
    roster = line.start(refresh_s=0.05)
    line.until(GATE)

    line.store.put(camera_key("gate"), b"{ half")
    line.save(YARD)

    line.until(GATE, YARD)
    assert set(roster.problems) == {"gate"}


def test_a_store_that_refuses_does_not_end_the_listing(line: Line) -> None:
    """Its rights were taken away, and given back."""
    line.store.refuses = True
    line.start(refresh_s=0.01)
    with line.heard:
        line.heard.wait_for(lambda: line.store.lists > 2, 0.2)

    line.store.refuses = False
    line.save(GATE)

    line.until(GATE)


def test_a_camera_that_is_added_during_a_listing_is_found_at_once(line: Line) -> None:
    """The listing did not show it; the next follows without waiting."""
    line.save(GATE)
    line.store.may_list.clear()
    line.start()
    assert line.store.asked.wait(LONG_S)

    line.save(YARD)
    line.store.may_list.set()

    line.until(GATE, YARD)


def test_a_bug_in_what_follows_does_not_end_the_listing(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """It is told, and tried again with the next listing."""
    broken = [True]
    told = line._changed

    def changed(known: Mapping[str, Camera]) -> None:
        if broken.pop() if broken else False:
            raise KeyError("a bug")
        told(known)

    caplog.set_level(logging.ERROR)
    line.save(GATE)
    roster = Roster(line.store, line.bus, cache=line.cache, refresh_s=0.01, changed=changed)
    line.rosters.append(roster)
    roster.start()

    line.until(GATE)


def test_a_cache_that_cannot_be_written_is_a_warning(line: Line) -> None:
    """Its disk is full: cameras run all the same."""
    line.cache = line.cache / "no-folder" / "cameras.json"
    line.save(GATE)

    line.start()

    line.until(GATE)
