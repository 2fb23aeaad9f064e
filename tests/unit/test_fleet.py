"""Which worker has which camera: at most so many each, nobody disturbed, and one that crashes its worker soon alone."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from segmenter.fleet.fleet import MOST_MORE, SPLIT_AFTER, Fleet
from segmenter.fleet.wire import Message
from segmenter.ingest.handover import Handover
from sluice.contracts.camera import Camera
from sluice.errors import UnavailableError


@dataclass(slots=True, kw_only=True, eq=False)
class FakeSlot:
    """A place whose worker does nothing; the test says when it crashes."""

    number: int
    told: Callable[[Any, Message], None]
    died: Callable[[Any, str], None]
    cameras: dict[str, Camera] = field(default_factory=dict)
    leaving: dict[str, str] = field(default_factory=dict)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    crashes: list[float] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    pid: int = 1
    ended: float | None = None
    hangs: bool = False

    @property
    def is_empty(self) -> bool:
        """See Slot."""
        return not self.cameras and not self.leaving

    @property
    def recent_crashes(self) -> int:
        """See Slot."""
        return len(self.crashes)

    def start(self) -> None:
        """See Slot."""

    def give(self, camera: Camera) -> None:
        """See Slot."""
        self.calls.append(f"give {camera.name}")
        self.cameras[camera.name] = camera
        self.leaving.pop(camera.name, None)

    def take(self, name: str, reason: str) -> None:
        """See Slot."""
        self.calls.append(f"take {name}")
        self.cameras.pop(name)
        self.leaving[name] = reason

    def drain(self, name: str) -> None:
        """See Slot."""
        self.calls.append(f"drain {name}")
        self.leaving[name] = "removed"

    def push(self, handover: Handover, sender: socket.socket) -> None:
        """See Slot."""
        self.calls.append(f"push {handover.camera}")
        sender.close()

    async def end(self, *, grace_s: float) -> None:
        """See Slot."""
        self.ended = grace_s
        if self.hangs:
            raise RuntimeError("it does not end")

    def left(self, name: str) -> None:
        """The worker says that a spool is empty."""
        del self.leaving[name]
        self.told(self, {"left": name})

    def crash(self) -> None:
        """The worker dies."""
        self.crashes.append(time.monotonic())
        self.died(self, "killed by signal 11")


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A fleet and its slots."""

    slots: list[FakeSlot] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    died: list[tuple[str, str]] = field(default_factory=list)

    def fleet(self, *, cameras_a_worker: int = 16) -> Fleet:
        """One a test."""

        def slot(number: int, **calls: Any) -> Any:
            self.slots.append(FakeSlot(number=number, **calls))
            return self.slots[-1]

        return Fleet(
            cameras_a_worker=cameras_a_worker,
            told=self.told.append,
            died=lambda report, why: self.died.append((report["camera"], why)),
            slot=slot,
        )

    def places(self) -> list[list[str]]:
        """Cameras of each worker that has any."""
        return [sorted(each.cameras) for each in self.slots if each.cameras]

    def calls(self) -> list[str]:
        """Of all slots since this was asked last."""
        found = [call for each in self.slots for call in each.calls]
        for each in self.slots:
            each.calls.clear()
        return found


def cameras(count: int) -> dict[str, Camera]:
    """So many."""
    return {f"cam-{n:02}": Camera(name=f"cam-{n:02}", source="test://") for n in range(count)}


def in_loop(test: Callable[[], Any]) -> None:
    """The fleet lives in a loop."""

    async def run() -> None:
        test()
        await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize(("count", "workers"), [(0, 0), (1, 1), (16, 1), (17, 2), (64, 4)])
def test_a_worker_has_at_most_sixteen(count: int, workers: int) -> None:
    """And no more workers than that takes."""
    line = Line()

    in_loop(lambda: line.fleet().apply(cameras(count)))

    assert len(line.slots) == workers
    assert all(len(each) <= 16 for each in line.places())
    assert sum(map(len, line.places())) == count


def test_cameras_that_stay_notice_nothing() -> None:
    """Of one that is added, one that is changed and one that goes."""
    line = Line()

    def test() -> None:
        fleet, wanted = line.fleet(cameras_a_worker=3), cameras(5)
        fleet.apply(wanted)
        line.calls()
        fleet.apply(wanted)
        assert line.calls() == []
        changed = replace(wanted["cam-01"], target_s=5.0)
        del wanted["cam-00"]
        fleet.apply({**wanted, "cam-01": changed, "new": Camera(name="new")})

    in_loop(test)

    assert sorted(line.calls()) == ["give cam-01", "give new", "take cam-00"]


def test_a_camera_that_comes_back_at_once_finds_its_own_worker() -> None:
    """Its spool is still held there."""
    line = Line()

    def test() -> None:
        fleet, wanted = line.fleet(cameras_a_worker=2), cameras(4)
        fleet.apply(wanted)
        fleet.apply({"cam-01": wanted["cam-01"]})
        fleet.apply(wanted)

    in_loop(test)

    assert line.places() == [["cam-00", "cam-01"], ["cam-02", "cam-03"]]
    assert [each.ended for each in line.slots] == [None, None]


def test_a_worker_that_is_emptied_ends() -> None:
    """When the last spool is drained, not before; who reports nothing else keeps no process."""
    line = Line()

    def test() -> None:
        fleet = line.fleet()
        fleet.apply(cameras(2))
        fleet.apply({})
        line.slots[0].left("cam-00")
        assert list(fleet.workers())
        line.slots[0].left("cam-01")
        assert not list(fleet.workers())
        fleet.apply(cameras(1))

    in_loop(test)

    assert line.slots[0].ended is not None
    assert line.places() == [["cam-00"]]
    assert len(line.slots) == 2
    assert line.told == []


def test_what_was_left_behind_is_drained_where_there_is_room() -> None:
    """By a worker that runs already as well; a camera that is wanted needs none of it."""
    line = Line()

    def test() -> None:
        fleet = line.fleet()
        fleet.apply(cameras(1))
        fleet.leave_behind("former")
        fleet.leave_behind("cam-00")

    in_loop(test)

    assert line.calls() == ["give cam-00", "drain former"]


def test_a_camera_that_kills_its_worker_is_soon_alone() -> None:
    """Bisection: the others recover, and nobody shares its worker again."""
    line = Line()
    poison = "cam-11"

    def test() -> None:
        fleet, wanted = line.fleet(), cameras(16)
        fleet.apply(wanted)
        crashes = 0
        while [poison] not in line.places():
            next(each for each in line.slots if poison in each.cameras).crash()
            crashes += 1
            assert crashes < 10
        assert crashes == SPLIT_AFTER + 3
        next(each for each in line.slots if poison in each.cameras).crash()
        fleet.apply({**wanted, "new": Camera(name="new")})

    in_loop(test)

    assert [poison] in line.places()
    assert sum(map(len, line.places())) == 17
    suffered = [name for name, _ in line.died if name != poison]
    assert suffered.count("cam-00") == 2
    assert len(suffered) == 15 + 15 + 7 + 3 + 1


def test_workers_that_all_die_are_not_parted_for_ever() -> None:
    """It is the machine then, and each more worker takes memory from it."""
    line = Line()

    def test() -> None:
        fleet = line.fleet()
        fleet.apply(cameras(32))
        for _ in range(10):
            for slot in list(line.slots):
                slot.crash()

    in_loop(test)

    assert len(line.slots) == 2 + MOST_MORE
    assert sum(map(len, line.places())) == 32


def test_a_camera_that_was_mended_may_share_again() -> None:
    """It was removed meanwhile."""
    line = Line()

    def test() -> None:
        fleet, wanted = line.fleet(), cameras(1)
        fleet.apply(wanted)
        for _ in range(SPLIT_AFTER):
            line.slots[0].crash()
        fleet.apply(cameras(2))
        assert line.places() == [["cam-00"], ["cam-01"]]
        fleet.apply({"cam-01": cameras(2)["cam-01"]})
        line.slots[0].left("cam-00")
        fleet.apply(cameras(2))

    in_loop(test)

    assert line.places() == [["cam-00", "cam-01"]]


def test_a_worker_that_only_drains_is_not_parted() -> None:
    """There is nothing to part."""
    line = Line()

    def test() -> None:
        fleet = line.fleet()
        fleet.apply(cameras(1))
        fleet.apply({})
        for _ in range(5):
            line.slots[0].crash()

    in_loop(test)

    assert len(line.slots) == 1


def test_a_push_goes_to_its_cameras_worker() -> None:
    """A camera without one comes again."""
    line = Line()
    ours, theirs = socket.socketpair()

    def test() -> None:
        fleet = line.fleet(cameras_a_worker=1)
        fleet.apply(cameras(2))
        line.calls()
        fleet.push(Handover(camera="cam-01", protocol="http", peer="here"), theirs)
        with pytest.raises(UnavailableError):
            fleet.push(Handover(camera="nobody", protocol="http", peer="here"), ours)

    in_loop(test)

    assert line.slots[1].calls == ["push cam-01"]
    assert ours.fileno() >= 0, "it is still the caller's"
    ours.close()


def test_the_end_reaches_every_worker() -> None:
    """One that fails to end keeps no other."""
    line = Line()

    async def run() -> Mapping[int, float | None]:
        fleet = line.fleet(cameras_a_worker=1)
        fleet.apply(cameras(3))
        line.slots[0].hangs = True
        await fleet.end(grace_s=3.0)
        return {each.number: each.ended for each in line.slots}

    assert asyncio.run(run()) == {1: 3.0, 2: 3.0, 3: 3.0}
