"""An hour's index says what its listing and its results say, and is made anew when they say something else."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace

import msgspec
import pytest

from functions.index.handler import index
from functions.index.labels import labels_in
from functions.index.rounds import CLOSED_MS, FUNCTION, IndexState, Round, index_camera
from sluice.contracts.index import HourIndex, LabelCount, Span
from sluice.errors import ConflictError
from sluice.names import ChunkName, state_key
from sluice.recordings.hours import HOUR_MS, key_of
from sluice.states import read_state
from sluice.store import StoredObject
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_name

CLOSED_AT_MS = NOON_MS + HOUR_MS + CLOSED_MS


@dataclass
class Camera:
    """A bucket with its recordings, and a clock."""

    store: MemoryStore = field(init=False)
    ms: int = CLOSED_AT_MS

    def __post_init__(self) -> None:
        """Date what is written by the clock."""
        self.store = MemoryStore(now=lambda: datetime.fromtimestamp(self.ms / 1000, tz=UTC))

    def records(self, *names: ChunkName) -> None:
        """Chunks come."""
        for name in names:
            self.store.put(name.key, b"x" * 100)

    def sees(self, name: ChunkName, *frames: list[str], model: str = "objects") -> None:
        """Detect says which labels each frame shows."""
        data = {"frames": [{"objects": [{"label": label, "score": 0.9} for label in frame]} for frame in frames]}
        self.store.put(name.result_key("detect", model), json.dumps({"data": data}).encode())

    def round(self, *, seconds: float = 60) -> Round:
        """A ping's work."""
        return index_camera("gate", store=self.store, now_ms=self.ms, deadline=time.monotonic() + seconds)

    def index(self, hour_ms: int = NOON_MS) -> HourIndex:
        """As it stands in the bucket."""
        return msgspec.json.decode(self.store.get(key_of("gate", hour_ms)).body, type=HourIndex)

    def state(self) -> IndexState:
        """How far its rounds have come."""
        return read_state(self.store, FUNCTION, "gate", IndexState)[0]

    def stems(self, hour_ms: int = NOON_MS) -> list[str]:
        """Of the chunks that it names."""
        return [each.stem for each in self.index(hour_ms).chunks]


def run(
    start_ms: int, count: int, *, first_seq: int = 1, session: int = 1, activity: str = "active"
) -> list[ChunkName]:
    return [
        a_chunk_name(
            start_ms=start_ms + each * 3000,
            duration_ms=3000,
            seq=first_seq + each,
            session=session,
            activity="opening" if each == 0 and first_seq == 1 else activity,
        )
        for each in range(count)
    ]


def test_a_closed_hour_is_one_object() -> None:
    """Keys, bytes, sessions, spans, minutes with activity, and labels."""
    camera = Camera()
    first, second = run(NOON_MS, 2), run(NOON_MS + 90_000, 1, session=2, first_seq=3, activity="idle")
    camera.records(*first, *second)
    camera.sees(first[0], ["person"], [], ["person", "person", "dog"])
    camera.sees(first[1], ["person"])
    camera.sees(first[1], ["face"], model="faces")

    assert camera.round() == Round(written=1, whole=True)
    found = camera.index()
    assert [each.stem for each in found.chunks] == [name.stem for name in (*first, *second)]
    assert (found.closed, found.listed, found.size_bytes, found.sessions) == (True, 3, 300, (1, 2))
    assert found.spans == (
        Span(from_ms=NOON_MS, to_ms=NOON_MS + 6000),
        Span(from_ms=NOON_MS + 90_000, to_ms=NOON_MS + 93_000),
    )
    assert found.labels == {
        "person": LabelCount(frames=3, most=2),
        "dog": LabelCount(frames=1, most=1),
        "face": LabelCount(frames=1, most=1),
    }
    assert [each.activity_ms for each in found.minutes] == [{"unknown": 3000, "active": 3000}, {"idle": 3000}]
    assert found.minutes[0].labels == found.labels


def test_nothing_is_written_when_nothing_changed() -> None:
    """A round looks, and lists."""
    camera = Camera()
    camera.records(*run(NOON_MS, 2))
    camera.round()

    assert camera.round() == Round(written=0, whole=True)


def test_a_late_chunk_reopens_its_hour() -> None:
    """The same count at another time is seen, too: one went, one came."""
    camera = Camera()
    names = run(NOON_MS, 3)
    camera.records(names[0], names[2])
    camera.round()
    camera.ms += HOUR_MS
    camera.records(names[1])

    camera.round()

    assert camera.stems() == [name.stem for name in names]
    camera.store.delete([names[2].key])
    camera.ms += 1000
    camera.records(late := run(NOON_MS + 30_000, 1, first_seq=4)[0])

    camera.round()

    assert camera.stems() == [names[0].stem, names[1].stem, late.stem]


def test_a_late_chunk_of_the_last_hours_is_seen_at_once() -> None:
    """However many older ones wait for their turn."""
    camera = Camera()
    for number in range(12):
        camera.records(*run(NOON_MS - (11 - number) * HOUR_MS, 1, first_seq=1 + number))
    camera.round()
    camera.records(*(late := run(NOON_MS - HOUR_MS + 60_000, 1, first_seq=20)))

    assert camera.round().written == 1
    assert late[0].stem in camera.stems(NOON_MS - HOUR_MS)


def test_a_result_that_shows_nothing_is_known_too() -> None:
    """It is not read again."""
    camera = Camera()
    names = run(NOON_MS, 1)
    camera.records(*names)
    camera.sees(names[0], [])
    camera.round()

    assert camera.index().chunks[0].labels == {"objects": {}}


def test_a_late_result_is_taken_in() -> None:
    """Others are not read again."""
    camera = Camera()
    names = run(NOON_MS, 2)
    camera.records(*names)
    camera.sees(names[0], ["person"])
    camera.round()
    camera.sees(names[0], ["person"], ["person"])  # no result changes; one that did is not read
    camera.sees(names[1], ["dog"])

    assert camera.round().written == 1
    assert camera.index().labels == {"person": LabelCount(frames=1, most=1), "dog": LabelCount(frames=1, most=1)}


def test_an_hour_that_goes_on_is_indexed_and_stays_open() -> None:
    """Its results are read while it lasts; it is closed when its last chunk must have come."""
    camera = Camera(ms=NOON_MS + HOUR_MS)
    camera.records(*run(NOON_MS, 2))
    camera.round()
    open_then = camera.index().closed
    camera.ms = CLOSED_AT_MS

    camera.round()

    assert (open_then, camera.index().closed) == (False, True)


def test_a_chunk_that_is_days_late_is_found_in_turn() -> None:
    """Older hours are looked at again, a few a round, and after the last the first again."""
    camera = Camera()
    hours = [NOON_MS - each * HOUR_MS for each in range(12)]
    for number, hour_ms in enumerate(reversed(hours)):
        camera.records(*run(hour_ms, 1, first_seq=1 + number))
    camera.round()
    late = run(hours[6] + 60_000, 1, first_seq=20)[0]
    camera.ms += HOUR_MS
    camera.records(late)

    rounds = [camera.round().written for _ in range(8)]

    assert sum(rounds) == 1
    assert late.stem in camera.stems(hours[6])


def test_a_round_that_runs_out_of_time_goes_on_in_the_next() -> None:
    """With what was read already; the hour counts as done when all of its results are."""
    camera = Camera()
    names = run(NOON_MS - HOUR_MS, 1) + run(NOON_MS, 1, first_seq=2)
    camera.records(*names)
    for name in names:
        camera.sees(name, ["person"])

    assert camera.round(seconds=-1) == Round(written=0, whole=False)
    assert camera.round() == Round(written=2, whole=True)


@dataclass(kw_only=True)
class SlowStore(MemoryStore):
    """An hour passes with the first result that is read."""

    passed_s: float = 0.0

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        if key.startswith("results/"):
            self.passed_s = 3600.0
        return super().get(key, first=first, last=last, limit=limit)


def test_an_hour_whose_results_took_too_long_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read stands in its index; the next round begins with it, not behind it."""
    slow = SlowStore()
    for module in ("rounds", "hour"):
        monkeypatch.setattr(f"functions.index.{module}.time", SimpleNamespace(monotonic=lambda: slow.passed_s))
    names = run(NOON_MS - 9 * HOUR_MS, 9) + run(NOON_MS, 1, first_seq=10)
    camera = Camera()
    camera.store = slow
    camera.records(*names)
    for name in names:
        camera.sees(name, ["person"])

    first = index_camera("gate", store=slow, now_ms=camera.ms, deadline=60.0)
    read = sum(bool(each.labels) for each in camera.index(NOON_MS - 9 * HOUR_MS).chunks)
    done_ms = camera.state().closed_to_ms
    monkeypatch.undo()
    camera.round()

    assert first == Round(written=1, whole=False)
    assert 0 < read < 9
    assert done_ms == 0
    assert camera.index(NOON_MS - 9 * HOUR_MS).labels == {"person": LabelCount(frames=9, most=1)}
    assert camera.index().labels == {"person": LabelCount(frames=1, most=1)}


@dataclass(kw_only=True)
class RivalStore(MemoryStore):
    """Another indexer writes one hour first."""

    rival_ms: int

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        if key == key_of("gate", self.rival_ms):
            raise ConflictError(key, "no object")
        return super().create(key, body, content_type=content_type, cache_control=cache_control)


def test_an_hour_that_another_wrote_first_is_looked_at_again() -> None:
    """The round ends before it: what the other one missed must not lie behind what counts as done."""
    camera = Camera()
    camera.store = RivalStore(rival_ms=NOON_MS - 5 * HOUR_MS)
    for hour in (9, 5, 1):
        camera.records(*run(NOON_MS - hour * HOUR_MS, 1, first_seq=10 - hour))

    found = camera.round()

    assert found == Round(written=1, whole=False)
    assert camera.state().closed_to_ms == NOON_MS - 8 * HOUR_MS


def test_only_hours_that_are_over_count_as_done() -> None:
    """The one that goes on is begun with in the next round."""
    camera = Camera()
    camera.records(*run(NOON_MS, 1), *run(NOON_MS + HOUR_MS, 1, first_seq=2))

    camera.round()

    assert camera.state().closed_to_ms == NOON_MS + HOUR_MS


def test_no_time_is_spent_on_old_hours_while_new_ones_wait() -> None:
    """A late chunk of last week is found when there is time."""
    camera = Camera()
    camera.records(*run(NOON_MS - 99 * HOUR_MS, 1), *run(NOON_MS, 1, first_seq=2))
    camera.round()
    camera.records(*run(NOON_MS - 99 * HOUR_MS + 30_000, 1, first_seq=3))
    camera.records(*run(NOON_MS + 3000, 1, first_seq=4))

    assert camera.round(seconds=-1) == Round(written=0, whole=False)
    assert camera.round() == Round(written=2, whole=True)


def test_chunks_of_a_fenced_segmenter_are_counted_and_not_named() -> None:
    """They come too late to be seen, and must not look like news."""
    camera = Camera()
    camera.records(*run(NOON_MS, 1), *run(NOON_MS + 3000, 1, session=2, first_seq=2))
    camera.records(fenced := run(NOON_MS + 6000, 1, session=1, first_seq=3)[0])
    camera.round()

    assert fenced.stem not in camera.stems()
    assert camera.index().listed == 3
    assert camera.round().written == 0


def test_an_hour_whose_chunks_are_gone_is_emptied() -> None:
    """Retention takes chunks; what names them must not promise more."""
    camera = Camera()
    names = run(NOON_MS, 2)
    camera.records(*names)
    camera.round()
    camera.store.delete([name.key for name in names])

    camera.round()

    assert camera.stems() == []
    assert camera.index().spans == ()


@pytest.mark.parametrize("lost", [None, b"{", b"[]", b'{"closed_to_ms": "soon"}'])
def test_without_its_state_it_looks_at_everything_once_more(lost: bytes | None) -> None:
    """And ends with the same indexes; an index that cannot be read is made anew."""
    camera = Camera()
    names = run(NOON_MS - 20 * HOUR_MS, 1) + run(NOON_MS, 1, first_seq=2)
    camera.records(*names)
    camera.round()
    key = state_key("index", "gate")
    if lost is None:
        camera.store.delete([key])
    else:
        camera.store.put(key, lost)
    camera.store.put(key_of("gate", NOON_MS - 20 * HOUR_MS), b"{")

    assert camera.round().written == 1
    assert camera.stems(NOON_MS - 20 * HOUR_MS) == [names[0].stem]


def test_one_camera_in_trouble_does_not_hold_up_the_others() -> None:
    """Nor does a folder of somebody else."""
    long_ago = NOON_MS - 30 * HOUR_MS
    camera = Camera()
    camera.records(*run(long_ago, 1), a_chunk_name("yard", start_ms=long_ago))
    camera.store.put("chunks/NOT A CAMERA/x.mp4", b"")
    camera.store.put("chunks/gate/readme", b"")

    index(store=camera.store)

    assert {each.key.split("/")[1] for each in camera.store.list("index/")} == {"gate", "yard"}


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"data": 1}', b'{"data": {"frames": [{"objects": [{}]}]}}'])
def test_a_result_that_cannot_be_read_shows_nothing(body: bytes) -> None:
    """As does a rejection, which has no frames."""
    assert labels_in(body) == {}
    assert labels_in(b'{"data": {"part": "detect", "found": "noise"}}') == {}
