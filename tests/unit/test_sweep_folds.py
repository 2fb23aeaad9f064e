"""A fold that stands still is told of the newest chunk, and of that one only."""

from dataclasses import replace
from pathlib import Path

import pytest

from functions.sweep.promises import read_promises
from functions.sweep.rounds import sweep_camera
from sluice import events, names
from sluice.contracts.chunk import ChunkStored
from sluice.errors import UnavailableError
from sluice.topology import INTAKE, STREAMS
from tests.packaging import CAMERA, Gate, WatchedStore, numbers
from tests.unit.test_sweep import Minutes

ROOT = Path(__file__).parent.parent.parent
LIVE = names.live_playlist_key(CAMERA, 4)
FOLDS = [each for each in read_promises(str(ROOT / "triggers")) if each.mark == "state"]


class Swept:
    """A camera, package, and a sweeper whose announcements reach package when the test says so."""

    def __init__(self) -> None:
        self.clock = Minutes()
        self.gate = Gate(store=WatchedStore(now=self.clock))
        self.gate.bus.ensure([INTAKE], [], [])
        self.round()

    def round(self) -> list[names.ChunkName]:
        """What one round announces."""
        before = len(self.gate.bus.published)
        sweep_camera(CAMERA, FOLDS, store=self.gate.store, bus=self.gate.bus, bucket="sluice", now_ms=self.clock.ms)
        found = [each for each in self.gate.bus.published[before:] if each.subject == "sluice.intake.sure"]
        chunks = [events.from_nats(each.headers, each.payload, ChunkStored).data.chunk for each in found]
        return [names.parse_chunk_key(each.key) for each in chunks]

    def heal(self) -> int:
        """Rounds an hour long, each announcement delivered; how many there were."""
        count = 0
        for _ in range(60):
            self.clock.go(60)
            for name in self.round():
                count += 1
                self.gate.announce(name, metadata={})
        return count


@pytest.fixture
def swept() -> Swept:
    return Swept()


def test_a_last_chunk_whose_event_was_lost_is_listed_after_a_minute(swept: Swept) -> None:
    """One announcement is enough for all that is missing, and it never comes again."""
    swept.gate.add(2)
    swept.gate.put()
    last = swept.gate.put()
    swept.clock.go(59)
    early = swept.round()
    swept.clock.go(2)

    assert (early, swept.round()) == ([], [last])

    swept.gate.announce(last)
    swept.heal()
    assert numbers(swept.gate.live()) == [1, 2, 3, 4]
    assert swept.heal() == 0


def test_a_camera_that_rests_leaves_nothing_to_announce(swept: Swept) -> None:
    """Its state keeps what its last write told; the stream shows that it was, so nobody is woken for it."""
    swept.gate.add(3)

    assert swept.heal() == 0


def test_what_the_stream_forgot_is_told_once_more(swept: Swept) -> None:
    """NATS lost its disk, or the camera rests for longer than the stream keeps anything."""
    swept.gate.add(3)
    swept.gate.bus.wipe()
    swept.gate.bus.ensure([*STREAMS, INTAKE], [], [])

    first, second = swept.heal(), swept.heal()

    assert (first, second) == (1, 0)


def test_what_was_never_told_is(swept: Swept) -> None:
    """Package died between the write and the telling, and the camera rests."""
    swept.gate.add(1)
    swept.gate.announce(swept.gate.chunks[0])
    swept.gate.bus.available = False
    with pytest.raises(UnavailableError):
        swept.gate.announce(swept.gate.put())
    swept.gate.bus.available = True

    swept.heal()

    told = [each for each in swept.gate.bus.published if each.subject == f"sluice.v1.playlists.{CAMERA}"]
    assert len(told) == 2


def test_a_camera_at_work_is_left_alone(swept: Swept) -> None:
    """Its state always has something to tell: the next chunk sees to it."""
    for _ in range(40):
        swept.gate.add(1)
        swept.clock.go(3)
        assert swept.round() == []


def test_a_late_chunk_is_not_announced_for_ever(swept: Swept) -> None:
    """It is in no state, and never will be."""
    swept.gate.add(3)
    late = replace(swept.gate.chunks[0], seq=9, start_ms=swept.gate.chunks[0].start_ms + 1)
    swept.gate.store.put(late.key, b"x" * 2000)
    swept.heal()

    assert swept.heal() == 0


def test_a_playlist_that_was_deleted_while_the_camera_rests_comes_back(swept: Swept) -> None:
    """At its newest chunk."""
    swept.gate.add(3)
    swept.heal()
    swept.gate.lose()

    swept.heal()
    assert numbers(swept.gate.live()) == [3]

    swept.heal()
    assert swept.heal() == 0


def test_a_list_that_went_on_elsewhere_is_found_there(swept: Swept) -> None:
    """The chunks became longer."""
    swept.gate.add(2)
    swept.gate.add(1, duration_ms=6000)
    last = swept.gate.put(duration_ms=6000)
    swept.clock.go(61)

    assert swept.round() == [last]


def test_a_fold_of_somebody_else_is_left_alone(swept: Swept) -> None:
    """Where it keeps its state is its own affair."""
    swept.gate.put()
    swept.clock.go(600)
    strange = [replace(each, function="mine") for each in FOLDS]

    done = sweep_camera(
        CAMERA, strange, store=swept.gate.store, bus=swept.gate.bus, bucket="sluice", now_ms=swept.clock.ms
    )

    assert done.announced == 0
