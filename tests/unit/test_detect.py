"""What the camera's models see in a chunk: one result a chunk and model, from the right frames."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.detect.handler import handle
from functions.detect.load import Effort, effort
from functions.detect.settings import DetectSettings
from segmenter.muxer import one_chunk
from segmenter.pattern import pattern_clip, square_at
from sluice import events, names
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.detection import ObjectsDetected
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import UnavailableError, UnusableInputError
from sluice.inference import Box, Frames, ModelInfo
from sluice.testing.bus import MemoryBus
from sluice.testing.detector import SeesSquares
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk, a_chunk_stored

SETTINGS = DetectSettings()


class Counting:
    """Knows `squares` under several names, counts frames, and fails as it is told to."""

    def __init__(self, *models: str) -> None:
        self.models = models
        self.frames = 0
        self.broken: dict[str, Exception] = {}
        self._squares = SeesSquares()

    def describe(self, model: str) -> ModelInfo:
        """As Detector has it."""
        if model not in self.models:
            raise UnusableInputError("a served model", repr(model), "detector")
        return replace(self._squares.describe("squares"), name=model, max_batch=4)

    def detect(self, model: str, frames: Frames) -> list[tuple[Box, ...]]:
        """As Detector has it."""
        if model in self.broken:
            raise self.broken[model]
        self.frames += len(frames)
        return self._squares.detect("squares", frames)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def cause(store: MemoryStore) -> Event[ChunkStored]:
    """Event of a two-second chunk that the store has; it has just been announced."""
    init, body = a_chunk()
    event = a_chunk_stored("gate", init=init)
    store.put(event.data.chunk.key, body)
    return fresh(event)


def fresh(event: Event[ChunkStored], *, waited_s: float = 0) -> Event[ChunkStored]:
    return replace(event, time=datetime.now(UTC) - timedelta(seconds=waited_s))


def configure(store: MemoryStore, *works: Work, **changes: Any) -> None:
    camera = Camera(name="gate", source="test://", functions={"detect": works}, **changes)
    store.put(names.camera_key("gate"), encode(camera))


def results(store: MemoryStore) -> dict[str, ObjectsDetected | InputRejected]:
    """By function and model."""
    found: dict[str, ObjectsDetected | InputRejected] = {}
    for each in store.list("results/"):
        body = store.get(each.key).body
        kind: Any = InputRejected if b"input.rejected" in body else ObjectsDetected
        found[each.key.split("/")[1]] = events.from_structured(body, kind).data
    return found


def test_the_square_is_found_where_it_is(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """Five times a second, with the wall time of each frame."""
    configure(store, Work(model="squares"))

    answer = handle(cause, store=store, bus=bus, detector=Counting("squares"), settings=SETTINGS)

    assert answer is not None
    found: ObjectsDetected = answer.data
    assert [frame.offset_ms for frame in found.frames] == list(range(0, 2000, 200))
    for frame in found.frames:
        [box] = frame.objects
        assert frame.at == cause.data.chunk.start + timedelta(milliseconds=frame.offset_ms)
        assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx(square_at(frame.offset_ms // 40), abs=0.02)
    assert (found.model, found.wanted_fps, found.sampled_fps, found.whole) == ("squares", 5.0, 5.0, True)
    assert {"wait", "get", "decode", "infer", "total"} == set(found.stages_ms)
    assert [each.subject for each in bus.published] == ["sluice.v1.detections.gate"]
    assert results(store) == {"detect-squares": found}


def test_a_second_event_does_no_work(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """The result object is the mark."""
    configure(store, Work(model="squares"))
    detector = Counting("squares")
    first = handle(cause, store=store, bus=bus, detector=detector, settings=SETTINGS)
    seen = detector.frames

    again = handle(cause, store=store, bus=bus, detector=detector, settings=SETTINGS)

    assert again == first
    assert detector.frames == seen == 10


def test_each_model_has_a_result_of_its_own(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """And its own rate; the reply is the first one's."""
    configure(store, Work(model="squares"), Work(model="other", fps=1))

    answer = handle(cause, store=store, bus=bus, detector=Counting("squares", "other"), settings=SETTINGS)

    assert answer is not None
    assert answer.data.model == "squares"
    found = results(store)
    assert {name: len(each.frames) for name, each in found.items() if isinstance(each, ObjectsDetected)} == {
        "detect-squares": 10,
        "detect-other": 2,
    }
    assert len({each.message_id for each in bus.published}) == 2


def test_one_model_that_is_down_keeps_the_others_results(
    store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]
) -> None:
    """The next try works for the missing one alone."""
    configure(store, Work(model="squares"), Work(model="other"))
    detector = Counting("squares", "other")
    detector.broken["other"] = UnavailableError("triton", "stopping")

    with pytest.raises(UnavailableError):
        handle(cause, store=store, bus=bus, detector=detector, settings=SETTINGS)
    before = detector.frames
    detector.broken.clear()
    answer = handle(cause, store=store, bus=bus, detector=detector, settings=SETTINGS)

    assert answer is not None
    assert set(results(store)) == {"detect-squares", "detect-other"}
    assert (before, detector.frames) == (10, 20)
    assert len(bus.published) == 2


def test_a_triton_that_is_down_leaves_no_half_result(
    store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]
) -> None:
    """Neither a message nor an object: the Broker tries again."""
    configure(store, Work(model="squares"))
    detector = Counting("squares")
    detector.broken["squares"] = UnavailableError("triton", "UNAVAILABLE")

    with pytest.raises(UnavailableError):
        handle(cause, store=store, bus=bus, detector=detector, settings=SETTINGS)

    assert (results(store), bus.published) == ({}, [])


def test_a_model_that_nobody_serves_is_rejected_by_name(
    store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]
) -> None:
    """Trying again would change nothing; the other models go on."""
    configure(store, Work(model="squares"), Work(model="missing"))

    handle(cause, store=store, bus=bus, detector=Counting("squares"), settings=SETTINGS)

    found = results(store)
    assert isinstance(found["detect-missing"], InputRejected)
    assert "missing" in found["detect-missing"].found
    assert isinstance(found["detect-squares"], ObjectsDetected)


def test_a_chunk_that_cannot_be_decoded_is_rejected_for_every_model(store: MemoryStore, bus: MemoryBus) -> None:
    """With a result object each, so that the sweeper lets it rest."""
    cause = fresh(a_chunk_stored("gate"))
    store.put(cause.data.chunk.key, b"no video at all")
    configure(store, Work(model="squares"), Work(model="other"))

    answer = handle(cause, store=store, bus=bus, detector=Counting("squares", "other"), settings=SETTINGS)

    assert answer is not None
    assert isinstance(answer.data, InputRejected)
    assert set(results(store)) == {"detect-squares", "detect-other"}


def test_a_chunk_between_two_instants_has_a_result_without_frames(store: MemoryStore, bus: MemoryBus) -> None:
    """It is told as every other, not rejected: subscribers may count on one message a chunk."""
    start_ms = NOON_MS + 40
    made = one_chunk(pattern_clip(size=(320, 180), seconds=1, fps=25, gop=2), anchor_ms=start_ms, target_s=0.08)
    cause = fresh(a_chunk_stored("gate", start_ms=start_ms, duration_ms=made.duration_ms, init=made.init8))
    store.put(cause.data.chunk.key, made.body)
    configure(store, Work(model="squares"))

    answer = handle(cause, store=store, bus=bus, detector=Counting("squares"), settings=SETTINGS)

    assert answer is not None
    assert (answer.data.frames, answer.data.sampled_fps, answer.data.whole) == ((), 0.0, True)
    assert [each.subject for each in bus.published] == ["sluice.v1.detections.gate"]


def test_labels_and_scores_are_the_cameras_choice(
    store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]
) -> None:
    """A frame in which nothing of interest is found is listed all the same."""
    configure(store, Work(model="squares", labels=("circle",)), Work(model="other", min_score=1.0))

    handle(cause, store=store, bus=bus, detector=Counting("squares", "other"), settings=SETTINGS)

    found = results(store)
    none, all_of_them = found["detect-squares"], found["detect-other"]
    assert isinstance(none, ObjectsDetected)
    assert isinstance(all_of_them, ObjectsDetected)
    assert [frame.objects for frame in none.frames] == [()] * 10
    assert all(frame.objects for frame in all_of_them.frames)


def test_a_camera_may_want_nothing(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """No work, no result, no reply."""
    configure(store)

    assert handle(cause, store=store, bus=bus, detector=Counting(), settings=SETTINGS) is None
    assert results(store) == {}


def test_a_camera_that_says_nothing_gets_the_usual_model(
    store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]
) -> None:
    """Also one whose settings are gone."""
    handle(cause, store=store, bus=bus, detector=Counting("objects"), settings=SETTINGS)

    assert set(results(store)) == {"detect-objects"}


def test_a_chunk_that_is_gone_needs_no_answer(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """Retention was faster than the event."""
    store.delete([cause.data.chunk.key])

    assert handle(cause, store=store, bus=bus, detector=Counting("objects"), settings=SETTINGS) is None


@pytest.mark.parametrize(
    ("waited_s", "expected"),
    [
        (0.0, Effort()),
        (9.9, Effort()),
        (10.0, Effort(share=0.5)),
        (20.0, Effort(share=0.25)),
        (30.0, Effort(share=0.25, keyframes_only=True)),
        (3600.0, Effort(share=0.25, keyframes_only=True)),
    ],
)
def test_the_longer_chunks_wait_the_less_is_looked_at(waited_s: float, expected: Effort) -> None:
    """Step by step, and all again as soon as they wait no longer."""
    assert effort(waited_s, late_s=10.0) == expected
    assert effort(waited_s, late_s=0) == Effort()


def test_the_result_says_what_was_looked_at(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """Nothing is left out silently."""
    configure(store, Work(model="squares"))

    answer = handle(fresh(cause, waited_s=31), store=store, bus=bus, detector=Counting("squares"), settings=SETTINGS)

    assert answer is not None
    found: ObjectsDetected = answer.data
    assert found.keyframes_only
    assert (found.wanted_fps, found.sampled_fps) == (5.0, 1.0)
    assert [frame.offset_ms for frame in found.frames] == [0, 1000]


def test_keyframes_only_is_a_cameras_setting_too(store: MemoryStore, bus: MemoryBus, cause: Event[ChunkStored]) -> None:
    """Whatever the load."""
    configure(store, Work(model="squares"), keyframes_only=True)

    answer = handle(cause, store=store, bus=bus, detector=Counting("squares"), settings=SETTINGS)

    assert answer is not None
    assert len(answer.data.frames) == 2
