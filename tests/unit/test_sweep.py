"""What a Trigger promises and no mark shows is announced again: no more, no less, and never too early."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from functions.sweep.handler import sweep
from functions.sweep.marks import Promised, Stored, advanced, attempt, missing
from functions.sweep.promises import Promise, read_promises
from functions.sweep.rounds import sweep_camera
from sluice import events, names
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.errors import SettingsError
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import INTAKE
from tests.builders import NOON_MS, a_chunk_name

ROOT = Path(__file__).parent.parent.parent
NOON = datetime.fromtimestamp(NOON_MS / 1000, UTC)
MINUTE_MS = 60_000


class Minutes:
    """The clock of the store and of the sweeper."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """As the store asks."""
        return self.now

    @property
    def ms(self) -> int:
        """As the sweeper counts."""
        return round(self.now.timestamp() * 1000)

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Minutes:
    return Minutes()


@pytest.fixture
def store(clock: Minutes) -> MemoryStore:
    store = MemoryStore(now=clock)
    camera = Camera(name="gate", source="test://", functions={"detect": (Work(model="squares"),)})
    store.put(names.camera_key("gate"), encode(camera))
    return store


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.ensure([INTAKE], [], [])
    return bus


PROMISES = read_promises(str(ROOT / "triggers"))


RESULTS = [each for each in PROMISES if each.mark == "result"]


def a_name(seq: int, activity: str = "active") -> names.ChunkName:
    return a_chunk_name("gate", start_ms=NOON_MS + seq * 3000, duration_ms=3000, seq=seq, activity=activity)


def put(store: MemoryStore, seq: int, activity: str = "active") -> names.ChunkName:
    name = a_name(seq, activity)
    store.put(name.key, b"chunk")
    return name


def round_of(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> list[Event[ChunkStored]]:
    """What one round announces."""
    before = len(bus.published)
    sweep_camera("gate", RESULTS, store=store, bus=bus, bucket="sluice", now_ms=clock.ms)
    return [events.from_nats(each.headers, each.payload, ChunkStored) for each in bus.published[before:]]


def test_the_shipped_triggers_are_understood() -> None:
    """Each function that answers for chunks, with its filter."""
    found = {each.function: each for each in PROMISES}

    assert {name: each.mark for name, each in found.items()} == {
        "inspect": "result",
        "detect": "result",
        "package": "state",
    }
    assert found["package"].covers(a_name(1, "idle"))
    assert found["detect"].covers(a_name(1, "active"))
    assert not found["detect"].covers(a_name(1, "idle"))
    assert found["inspect"].covers(a_name(1, "opening"))
    assert not found["inspect"].covers(a_name(1, "active"))


def test_what_is_no_trigger_of_chunks_promises_nothing(tmp_path: Path) -> None:
    """Other kinds, other types, and those whose function leaves no mark."""
    (tmp_path / "some.yaml").write_text(
        """
kind: Broker
metadata: {name: default}
---
kind: Trigger
metadata: {name: other}
spec: {filters: [{exact: {type: dev.sluice.objects.detected.v1}}], subscriber: {ref: {name: track}}}
---
kind: Trigger
metadata: {name: everything}
spec: {subscriber: {ref: {name: log}}}
---
kind: Trigger
metadata: {name: unmarked, annotations: {sluice.dev/mark: none}}
spec: {filters: [{exact: {type: dev.sluice.chunk.stored.v1}}], subscriber: {ref: {name: copy}}}
---
kind: Trigger
metadata: {name: old}
spec: {filter: {attributes: {type: dev.sluice.chunk.stored.v1}}, subscriber: {ref: {name: count}}}
"""
    )

    assert [each.function for each in read_promises(str(tmp_path))] == ["count"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Not taken for one without promises."""
    with pytest.raises(SettingsError, match="nowhere"):
        read_promises(str(tmp_path / "nowhere"))


def test_what_was_there_before_is_not_promised(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> None:
    """A function that is new does not work through years of recordings."""
    put(store, 1)
    clock.go(600)

    assert round_of(store, bus, clock) == []
    clock.go(600)
    assert round_of(store, bus, clock) == []


def test_a_chunk_without_a_result_is_announced_after_a_minute(
    store: MemoryStore, bus: MemoryBus, clock: Minutes
) -> None:
    """As the bridge would, with its reference and a higher attempt; not before, and once an attempt."""
    round_of(store, bus, clock)
    name = put(store, 1)
    clock.go(59)
    early = round_of(store, bus, clock)
    clock.go(2)

    [event] = round_of(store, bus, clock)
    again = round_of(store, bus, clock)

    assert early == []
    assert (event.data.chunk.key, event.data.chunk.size_bytes, event.extensions["attempt"]) == (name.key, 5, "1")
    assert event.extensions["activity"] == "active"
    assert again == []  # the server drops what has the same id
    assert [each.subject for each in bus.published] == ["sluice.intake.sure"]


def test_a_chunk_with_its_result_is_left_alone(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> None:
    """A rejection is a result as well: the object is what counts."""
    round_of(store, bus, clock)
    name = put(store, 1)
    store.put(name.result_key("detect", "squares"), b"{}")
    clock.go(300)

    assert round_of(store, bus, clock) == []


def test_an_idle_chunk_is_nobodys_work(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> None:
    """The Trigger's filter decides."""
    round_of(store, bus, clock)
    put(store, 1, "idle")
    clock.go(300)

    assert round_of(store, bus, clock) == []


def test_each_model_is_a_promise_of_its_own(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> None:
    """One event asks for all that is missing."""
    camera = Camera(name="gate", source="test://", functions={"detect": (Work(model="squares"), Work(model="faces"))})
    store.put(names.camera_key("gate"), encode(camera))
    round_of(store, bus, clock)
    name = put(store, 1)
    store.put(name.result_key("detect", "squares"), b"{}")
    clock.go(61)

    assert [each.data.chunk.key for each in round_of(store, bus, clock)] == [name.key]


def test_the_watermark_moves_to_the_first_hole(store: MemoryStore, bus: MemoryBus, clock: Minutes) -> None:
    """What is behind it is not listed again."""
    round_of(store, bus, clock)
    for seq in (1, 2, 3, 4):
        name = put(store, seq)
        if seq != 3:
            store.put(name.result_key("detect", "squares"), b"{}")
    clock.go(61)
    round_of(store, bus, clock)

    state = store.get(names.state_key("sweep", "gate")).body

    assert a_name(2).key.encode() in state
    assert a_name(4).key.encode() not in state


def test_a_chunk_that_appears_behind_the_watermark_is_found_in_ten_rounds(
    store: MemoryStore, bus: MemoryBus, clock: Minutes
) -> None:
    """Another machine's clock was behind."""
    round_of(store, bus, clock)
    done = put(store, 9)
    store.put(done.result_key("detect", "squares"), b"{}")
    clock.go(61)
    round_of(store, bus, clock)
    late = put(store, 2)
    clock.go(61)

    found = [each.data.chunk.key for _ in range(10) for each in round_of(store, bus, clock)]

    assert set(found) == {late.key}


def test_a_long_queue_is_no_loss() -> None:
    """Nothing is announced that is no older than what was done just now."""
    now_ms = NOON_MS + 10 * MINUTE_MS
    chunks = [Stored(name=a_name(seq), modified_ms=NOON_MS + seq * 3000) for seq in range(1, 200)]
    done = {each.name.key: now_ms - 1000 for each in chunks[:50]}
    promised = Promised(since_ms=0)

    waiting = missing(chunks, done, promised, now_ms=now_ms)
    stopped = missing(chunks, dict.fromkeys(done, now_ms - 10 * MINUTE_MS), promised, now_ms=now_ms)

    assert waiting == []
    assert stopped[0] == chunks[50]
    assert all(now_ms - each.modified_ms >= 60_000 for each in stopped)


def test_one_that_was_healed_late_is_no_queue() -> None:
    """The fastest of the recent ones says how long the queue is."""
    now_ms = NOON_MS + 10 * MINUTE_MS
    chunks = [Stored(name=a_name(seq), modified_ms=NOON_MS + seq * 3000) for seq in range(1, 190)]
    done = {each.name.key: each.modified_ms + 500 for each in chunks}
    done[chunks[0].name.key] = now_ms - 1000
    del done[chunks[100].name.key]

    assert missing(chunks, done, Promised(since_ms=0), now_ms=now_ms) == [chunks[100]]


@pytest.mark.parametrize(
    ("age_s", "expected"), [(60, 1), (119, 1), (120, 2), (239, 2), (240, 3), (3600, 6), (86_400, 11)]
)
def test_attempts_come_ever_less_often(age_s: float, expected: int) -> None:
    """And two sweepers at once name the same."""
    assert attempt(age_s) == expected


def test_the_watermark_never_passes_what_is_young() -> None:
    """Something may still appear before it."""
    chunks = [Stored(name=a_name(seq), modified_ms=NOON_MS + seq * 3000) for seq in (1, 2)]
    done = {each.name.key: each.modified_ms for each in chunks}

    reached = advanced(chunks, done, Promised(since_ms=0), now_ms=NOON_MS + 64_000)

    assert reached == chunks[0].name.key


def test_every_camera_is_swept_and_a_broken_one_keeps_no_other(
    store: MemoryStore, bus: MemoryBus, clock: Minutes
) -> None:
    """A folder with another name is nobody's."""
    store.put("chunks/Not A Camera/x.mp4", b"")
    other = replace(a_name(1), camera="lobby")
    sweep(PROMISES, store=store, bus=bus, bucket="sluice")
    put(store, 1)
    store.put(other.key, b"chunk")
    sweep(PROMISES, store=store, bus=bus, bucket="sluice")

    assert len(list(store.list("state/sweep/"))) == 2


def test_a_promise_without_models_has_one_mark() -> None:
    """As a user's own function has."""
    promise = Promise(trigger="t", function="count", filters=())

    assert promise.works(None) == ("count",)
    assert Promise(trigger="t", function="detect", filters=()).works(None) == ("detect-objects",)
