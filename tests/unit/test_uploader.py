"""Every spooled chunk arrives, in order, under one name for ever; whatever fails."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from segmenter.cut import Cut
from segmenter.numbering import FencedError, start_session
from segmenter.spool import Dropped, Spool
from segmenter.uploader import CHECKPOINT_S, Uploader
from sluice.errors import StoreError, UnavailableError
from sluice.names import CHUNKS, ChunkName, parse_chunk_key, state_key
from sluice.store import StoredObject
from sluice.testing.store import MemoryStore
from tests.crashes import CrashingDisk, Killed, UnreliableStore

CAMERA = "gate"
STATE = state_key("segmenter", CAMERA)
START_MS = 1_790_000_000_000


def a_cut(number: int, *, run: str = "run") -> Cut:
    init = f"init of {run}".encode()
    return Cut(
        body=init + f"{run} {number}".encode(),
        init_bytes=len(init),
        run=run,
        start_ms=START_MS + number * 3000,
        duration_ms=3000,
        activity="active",
        metadata={"camera": CAMERA},
    )


@dataclass(slots=True, kw_only=True)
class RecordingStore(MemoryStore):
    """Remembers what it was asked, in order; `refused` are keys that it never takes."""

    asked: list[tuple[str, str]] = field(default_factory=list)
    refused: tuple[str, ...] = ()

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        self.asked.append(("get", key))
        return MemoryStore.get(self, key, first=first, last=last, limit=limit)

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See ObjectStore.put."""
        self.asked.append(("put", key))
        if any(part in key for part in self.refused):
            raise StoreError("EntityTooLarge")
        return MemoryStore.put(self, key, body, content_type=content_type, metadata=metadata)

    def chunks(self) -> list[ChunkName]:
        """In order of seq."""
        found = [parse_chunk_key(each.key) for each in MemoryStore.list(self, CHUNKS)]
        return sorted(found, key=lambda name: name.seq)


class DyingStore(RecordingStore):
    """Its callers are killed before their first chunk arrives."""

    def put(
        self,
        key: str,  # noqa: ARG002 (the port's)
        body: bytes,  # noqa: ARG002 (the port's)
        *,
        content_type: str = "application/octet-stream",  # noqa: ARG002 (the port's)
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002 (the port's)
    ) -> str:
        """See ObjectStore.put."""
        raise Killed


@dataclass(slots=True, kw_only=True)
class Line:
    """A spool, its uploader, their store and the time."""

    store: RecordingStore
    spool: Spool
    uploader: Uploader
    stored: list[ChunkName]
    dropped: list[Dropped]
    now: list[float]

    def drain(self) -> None:
        """Step until nothing is left."""
        steps = range(100)
        assert any(self.uploader.step() != 0.0 for _ in steps), "it never comes to an end"


def a_line(folder: Path, store: RecordingStore | None = None) -> Line:
    now, stored, dropped = [0.0], list[ChunkName](), list[Dropped]()
    store = store or RecordingStore()
    spool = Spool(folder, dropped=dropped.append)
    uploader = Uploader(store, spool, camera=CAMERA, stored=stored.append, clock=lambda: now[0], jitter=lambda: 1.0)
    return Line(store=store, spool=spool, uploader=uploader, stored=stored, dropped=dropped, now=now)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = a_line(tmp_path)
    yield made
    made.spool.close()


def test_chunks_are_put_in_order_under_one_session(line: Line) -> None:
    """Seq counts up; the first says opening; each is told after it was stored."""
    for number in range(3):
        line.spool.add(a_cut(number))

    line.drain()

    names = line.store.chunks()
    assert [(name.session, name.seq, name.activity) for name in names] == [
        (1, 1, "opening"),
        (1, 2, "active"),
        (1, 3, "active"),
    ]
    assert line.stored == names
    assert [line.store.get(name.key).body for name in names] == [a_cut(number).body for number in range(3)]
    assert line.store.get(names[0].key).metadata == {"camera": CAMERA}
    assert len(line.spool) == 0


def test_the_init_segment_is_there_first_and_once_a_session(line: Line) -> None:
    """A player that follows the chunk finds it."""
    for number in range(2):
        line.spool.add(a_cut(number))

    line.drain()

    first, second = line.store.chunks()
    puts = [key for verb, key in line.store.asked if verb == "put"]
    assert puts == [first.init_key, first.key, second.key]
    assert line.store.get(first.init_key).body == a_cut(0).init


def test_each_run_is_a_session_of_its_own(line: Line) -> None:
    """Another connection has another anchor, and its init segment is put again; seq goes on."""
    line.spool.add(a_cut(0, run="a"))
    line.spool.add(a_cut(1, run="b"))

    line.drain()

    names = line.store.chunks()
    assert [(name.session, name.seq, name.activity) for name in names] == [(1, 1, "opening"), (2, 2, "opening")]
    assert names[1].init_key in line.store.asked[-1][1] or ("put", names[1].init_key) in line.store.asked


def test_a_session_ends_where_a_chunk_was_dropped(line: Line) -> None:
    """Media time is continuous within a session."""
    for number in (0, 1, 3, 4):
        line.spool.add(a_cut(number))

    line.drain()

    assert [(name.session, name.seq) for name in line.stored] == [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert [name.activity for name in line.stored] == ["opening", "active", "opening", "active"]


def test_a_session_ends_where_the_store_refused_a_chunk(line: Line) -> None:
    """Its seq is used up, but its time is missing."""
    line.store.refused = ("0000000002",)
    for number in range(3):
        line.spool.add(a_cut(number))

    line.drain()

    assert [(name.session, name.seq) for name in line.stored] == [(1, 1), (2, 3)]


def test_no_chunk_starts_before_what_is_there(line: Line) -> None:
    """The machine's clock was set back: readers take the order of names for the order of time."""
    line.spool.add(a_cut(100, run="a"))
    line.spool.add(a_cut(0, run="b"))
    line.spool.add(a_cut(1, run="b"))

    line.drain()

    first, second, third = line.store.chunks()
    assert second.start_ms == first.end_ms
    assert third.start_ms == second.end_ms


def test_with_the_store_down_nothing_is_numbered(line: Line) -> None:
    """It waits longer and longer, with a bound, and goes on where it was."""
    line.spool.add(a_cut(0))
    line.store.down = True
    waits = []
    for _ in range(8):
        wait = line.uploader.step()
        assert wait
        waits.append(wait)
        line.now[0] += wait

    found = line.spool.oldest()

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    assert line.uploader.trouble
    assert found
    assert found.name is None
    line.store.down = False
    line.drain()
    assert len(line.stored) == 1
    assert line.uploader.trouble is None


def test_a_step_that_comes_too_early_asks_nothing(line: Line) -> None:
    """A new chunk is no reason to hurry a store that is down."""
    line.spool.add(a_cut(0))
    line.store.down = True
    line.uploader.step()
    asked = len(line.store.asked)
    line.now[0] = 0.25

    assert line.uploader.step() == 0.25
    assert len(line.store.asked) == asked


def test_waits_differ_from_camera_to_camera(tmp_path: Path) -> None:
    """They all lost the store at once."""
    spool = Spool(tmp_path)
    spool.add(a_cut(0))
    uploader = Uploader(MemoryStore(down=True), spool, camera=CAMERA, clock=lambda: 0.0, jitter=lambda: 0.0)

    assert uploader.step() == 0.25


def test_the_name_is_on_disk_before_the_store_hears_of_it(tmp_path: Path) -> None:
    """And is used again by the next process, before that begins a session."""
    first = a_line(tmp_path, DyingStore())
    first.spool.add(a_cut(0))
    with pytest.raises(Killed):
        first.uploader.step()
    first.spool.close()

    second = a_line(tmp_path)
    given = second.spool.oldest()
    second.spool.add(a_cut(1, run="live"))
    second.drain()

    assert given
    assert given.name == second.store.chunks()[0]
    assert (given.name.session, given.name.seq) == (1, 1)
    verbs = [verb for verb, key in second.store.asked]
    assert verbs[:3] == ["put", "put", "get"]  # init, chunk; only then the state
    second.spool.close()


def test_what_a_dead_run_left_is_sent_before_what_is_live(tmp_path: Path) -> None:
    """In a session of its own."""
    first = a_line(tmp_path)
    first.store.down = True
    first.spool.add(a_cut(0, run="dead"))
    first.spool.close()

    second = a_line(tmp_path)
    second.spool.add(a_cut(1, run="live"))
    second.drain()

    bodies = [second.store.get(name.key).body for name in second.stored]
    assert bodies == [a_cut(0, run="dead").body, a_cut(1, run="live").body]
    assert [name.session for name in second.stored] == [1, 2]
    second.spool.close()


def test_an_answer_that_was_lost_changes_no_name(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunk was stored, we do not know it: it is put again under its name."""
    line.spool.add(a_cut(0))
    put = MemoryStore.put
    lost: list[str] = []

    def answer_is_lost(self: MemoryStore, key: str, body: bytes, **named: object) -> str:
        etag = put(self, key, body, **named)  # type: ignore[arg-type]  # as it came
        if key.startswith(CHUNKS) and not lost:
            lost.append(key)
            raise UnavailableError("store", "timed out")
        return etag

    monkeypatch.setattr(MemoryStore, "put", answer_is_lost)
    wait = line.uploader.step()
    assert wait
    line.now[0] += wait

    line.drain()

    assert [name.key for name in line.store.chunks()] == lost


def test_what_the_store_never_takes_holds_up_nobody(line: Line) -> None:
    """It is dropped and counted; its number stays unused."""
    for number in range(3):
        line.spool.add(a_cut(number))
    line.store.refused = ("-0000000002-",)

    line.drain()

    assert [name.seq for name in line.store.chunks()] == [1, 3]
    assert [each.reason for each in line.dropped] == ["refused"]


def test_the_numbering_is_recorded_each_hour_and_at_the_end(line: Line) -> None:
    """So that a listing never has more than an hour to show."""
    line.spool.add(a_cut(0))
    line.drain()
    assert json.loads(line.store.get(STATE).body)["next_seq"] == 1
    assert line.uploader.step() == CHECKPOINT_S

    line.now[0] = CHECKPOINT_S
    assert line.uploader.step() is None
    hourly = json.loads(line.store.get(STATE).body)

    line.spool.add(a_cut(1))
    line.drain()
    line.uploader.end_session()
    last = json.loads(line.store.get(STATE).body)

    assert hourly == {"session": 1, "next_seq": 2, "floor_ms": a_cut(1).start_ms}
    assert last == {"session": 1, "next_seq": 3, "floor_ms": a_cut(2).start_ms}


def test_an_idle_camera_asks_the_store_nothing(line: Line) -> None:
    """No listing, no state, until there is a chunk."""
    assert line.uploader.step() is None
    line.uploader.end_session()

    assert line.store.asked == []


def test_the_loser_learns_that_it_is_fenced(line: Line) -> None:
    """Once; if its owner goes on, a session begins that fences the other."""
    line.spool.add(a_cut(0))
    line.drain()
    start_session(line.store, CAMERA)
    line.now[0] = CHECKPOINT_S

    with pytest.raises(FencedError):
        line.uploader.step()

    assert line.uploader.step() is None
    line.spool.add(a_cut(1))
    line.drain()
    assert [name.session for name in line.stored] == [1, 3]


class Machine:
    """A segmenter whose disk outlives its processes; a process is one spool, one uploader, and runs of chunks."""

    def __init__(self, number: int, folder: Path, world: "World") -> None:
        self.number, self.folder, self.world = number, folder, world
        self.runs = 0
        self.offset_ms = 0
        self.disk = CrashingDisk(lambda: world.chance.random() < world.deaths)
        self.begin()

    def begin(self) -> None:
        """Start a process on what the last one left."""
        world = self.world
        while True:
            try:
                self.spool = Spool(self.folder, disk=self.disk)
            except Killed:
                self.disk.lose_power()
            else:
                break
        self.uploader = Uploader(
            world.store, self.spool, camera=CAMERA, clock=lambda: world.now_s, jitter=world.chance.random
        )
        self.connect()

    def connect(self) -> None:
        """A new connection to the source."""
        self.runs += 1
        self.offset_ms = self.world.chance.choice((0, 0, 0, -600_000, 7000, 600_000))

    def cut(self) -> None:
        """One more chunk."""
        number, run = self.world.next_number(), f"{self.number}.{self.runs}"
        start_ms = START_MS + int(self.world.now_s * 1000) + self.offset_ms
        chunk = Cut(
            body=f"{run}{number}".encode(),
            init_bytes=len(run),
            run=run,
            start_ms=start_ms,
            duration_ms=3000,
            activity="idle",
            metadata={},
        )
        if self.spool.add(chunk):
            self.world.acknowledged.add(chunk.body)

    def die(self) -> None:
        """Killed, or without power; the next process starts."""
        self.close()
        if self.world.chance.random() < 0.5:
            self.disk.lose_power()
        self.begin()

    def close(self) -> None:
        """The kernel lets go of the folder."""
        self.spool.close()


@dataclass(slots=True, kw_only=True)
class WitnessedStore(UnreliableStore):
    """Checks each write against all before it."""

    alone: bool = True
    names: dict[str, bytes] = field(default_factory=dict)
    floors: dict[int, int] = field(default_factory=dict)

    def _write(self, key: str, body: bytes, content_type: str, **told: Any) -> str:
        if key.startswith(CHUNKS) and key not in self.names:
            self._check(parse_chunk_key(key), body)
        if key.startswith(CHUNKS):
            assert self.names.setdefault(key, body) == body, f"one name, two media: {key}"
        if key == STATE:
            state = json.loads(body)
            self.floors.setdefault(state["session"], state["floor_ms"])
        return MemoryStore._write(self, key, body, content_type, **told)

    def _check(self, name: ChunkName, body: bytes) -> None:
        assert body not in self.names.values(), f"one media, two names: {name.key}"
        others = [parse_chunk_key(key) for key in self.names]
        assert (name.session, name.seq) not in [(each.session, each.seq) for each in others], f"twice: {name.key}"
        inits = {each.init for each in others if each.session == name.session}
        assert inits <= {name.init}, f"two anchors in session {name.session}"
        assert name.start_ms >= self.floors[name.session], f"before the floor: {name.key}"
        assert name.init_key in self._objects, f"no init yet: {name.key}"
        before = others if self.alone else [each for each in others if each.session == name.session]
        assert all(each.end_ms <= name.start_ms for each in before), f"overlaps: {name.key}"
        assert all(each.seq < name.seq for each in before), f"seq fell: {name.key}"
        assert all(each.session <= name.session for each in before), f"session fell: {name.key}"


class World:
    """One schedule of faults, drawn from a seed."""

    def __init__(self, seed: int, folder: Path, machines: int) -> None:
        self.chance = random.Random(seed)
        self.now_s = 0.0
        self.deaths = self.chance.choice((0.0, 0.003, 0.02))
        self.acknowledged: set[bytes] = set()
        self._numbers = 0
        self._acting: list[Machine] = []
        self.store = WitnessedStore(
            chance=self.chance,
            faults=self.chance.choice((0.0, 0.03, 0.1)),
            deaths=self.deaths,
            alone=machines == 1,
            meanwhile=self._meanwhile,
        )
        self.machines = [Machine(number, folder / str(number), self) for number in range(machines)]

    def next_number(self) -> int:
        """Of a chunk: no two have the same media."""
        self._numbers += 1
        return self._numbers

    def act(self) -> None:
        """One thing happens to one machine."""
        machine = self.chance.choice(self.machines)
        self.now_s += self.chance.choice((0.0, 0.1, 1.0, 3.0))
        actions: list[tuple[Callable[[], object], int]] = [
            (machine.uploader.step, 40),
            (machine.cut, 30),
            (machine.connect, 2),
            (machine.uploader.end_session, 2),
            (self.store.deliver_late, 5),
            (self._weather, 2),
            (self._rest, 1),
        ]
        self._do(machine, self.chance.choices(*zip(*actions, strict=True))[0])

    def _do(self, machine: Machine, action: Callable[[], object]) -> None:
        self._acting.append(machine)
        try:
            action()
        except Killed:
            machine.die()
        except (UnavailableError, FencedError):
            pass
        finally:
            self._acting.remove(machine)

    def _meanwhile(self) -> None:
        """The others upload between two calls of one."""
        idle = [machine for machine in self.machines if machine not in self._acting]
        if idle and self.chance.random() < 0.2:
            machine = self.chance.choice(idle)
            self._do(machine, machine.uploader.step)

    def finish(self) -> None:
        """No more faults: what is spooled must arrive."""
        self.deaths = self.store.deaths = self.store.faults = 0.0
        self.store.down = False
        self.store.deliver_late()
        self.store.meanwhile = lambda: None
        for machine in self.machines:
            for _ in range(10 * len(machine.spool) + 10):
                try:
                    self.now_s += machine.uploader.step() or 0.0
                except FencedError:
                    continue
            assert len(machine.spool) == 0
            machine.close()

    def _weather(self) -> None:
        self.store.down = self.chance.random() < 0.5

    def _rest(self) -> None:
        self.now_s += CHECKPOINT_S


@pytest.mark.parametrize("machines", [1, 2], ids=["alone", "two-segmenters"])
@pytest.mark.parametrize("seed", range(30))
def test_no_schedule_of_faults_breaks_a_rule(tmp_path: Path, seed: int, machines: int) -> None:
    """Lost requests and answers, late requests, kills and power cuts at any step, clock steps, outages, a rival."""
    world = World(seed, tmp_path, machines)

    for _ in range(250):
        world.act()
    world.finish()

    assert world.acknowledged <= {*world.store.names.values()}
