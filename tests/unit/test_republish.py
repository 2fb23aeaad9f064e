"""`sluice republish`: a wiped stream is filled again, and nothing is there twice."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice import events, names
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.once import answer_once
from sluice.refill import folders
from sluice.testing.bus import MemoryBus
from sluice.topology import RESULTS
from tests.builders import a_chunk_ref
from tests.desk import Desk


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    slept = list[float]()
    monkeypatch.setattr("time.sleep", slept.append)
    desk = Desk(monkeypatch, capsys)
    desk.slept = slept
    return desk


def work_on(desk: Desk, camera: str, seq: int, *, bus: Bus | None = None, function: str = "inspect") -> Event[Any]:
    """What a function leaves of a chunk: a message and an object."""
    chunk = a_chunk_ref(camera, seq=seq)
    desk.store.put(chunk.key, b"video")
    cause = events.new(ChunkStored(chunk=chunk), part="bridge", camera=camera, event_id="cause")
    found = InputRejected(part=function, where=chunk.key, expected="video", found="noise", chunk=chunk)
    answer = answer_once(cause, lambda _ref, _body: found, function=function, store=desk.store, bus=bus or desk.bus)
    assert answer
    return answer


def on_the_stream(bus: MemoryBus) -> list[str]:
    return [each.message_id for each in bus.published]


def wiped(bus: MemoryBus) -> None:
    bus.wipe()
    bus.published.clear()


def test_a_wiped_stream_is_filled_again_under_the_same_ids(sluice: Desk) -> None:
    """The messages are those that the functions sent."""
    made = [work_on(sluice, camera, seq) for camera in ("gate", "yard") for seq in (1, 2)]
    before = list(sluice.bus.published)
    wiped(sluice.bus)

    said = sluice("republish", "--since", "1h", "--once")

    assert said == "4 results: 4 published, 0 were there\n"
    assert sorted(on_the_stream(sluice.bus)) == sorted(each.id for each in made)
    assert sorted(each.payload for each in sluice.bus.published) == sorted(each.payload for each in before)
    assert {each.subject for each in sluice.bus.published} == {"sluice.v1.rejected.gate", "sluice.v1.rejected.yard"}


def test_what_is_there_stays_alone_though_the_server_forgot_its_id(sluice: Desk) -> None:
    """The window for duplicates is two hours, a stream is kept for days."""
    work_on(sluice, "gate", 1)
    sluice.bus._streams[f"stream {RESULTS.name}"].ids.clear()
    sluice.bus.published.clear()

    said = sluice("republish", "--since", "1h", "--once")

    assert said == "1 results: 0 published, 1 were there\n"
    assert on_the_stream(sluice.bus) == []


def test_what_the_server_refuses_is_not_called_published(sluice: Desk) -> None:
    """After a purge it remembers the ids of what the stream has lost."""
    work_on(sluice, "gate", 1)
    sluice.bus._streams[f"stream {RESULTS.name}"].messages.clear()

    status, said = sluice.tried("republish", "--since", "1h", "--once")

    assert status == 1
    assert said.startswith("1 results: 0 published, 0 were there, 1 not taken: the stream was purged")


def test_only_what_was_recorded_since_then_is_published(sluice: Desk) -> None:
    """By the object's own time: a chunk may come a day late."""
    sluice.store.now = lambda: datetime.now(UTC) - timedelta(hours=2)
    work_on(sluice, "gate", 1)
    sluice.store.now = lambda: datetime.now(UTC)
    new = work_on(sluice, "gate", 2)
    wiped(sluice.bus)

    sluice("republish", "--since", "1h", "--once")

    assert on_the_stream(sluice.bus) == [new.id]


def test_one_camera_can_be_chosen(sluice: Desk) -> None:
    """The others are not even listed."""
    mine = work_on(sluice, "gate", 1)
    work_on(sluice, "gate-2", 1)
    wiped(sluice.bus)

    sluice("republish", "--since", "1h", "--once", "--camera", "gate")

    assert on_the_stream(sluice.bus) == [mine.id]


def test_it_looks_again_when_no_function_can_still_be_recording(sluice: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function had published before the wipe, and puts its object after the first look."""
    old_server = MemoryBus()
    made = list[Event[Any]]()

    def meanwhile(seconds: float) -> None:
        assert seconds >= 120
        made.append(work_on(sluice, "gate", 1, bus=old_server))

    monkeypatch.setattr("time.sleep", meanwhile)

    said = sluice("republish", "--since", "1h")

    assert on_the_stream(sluice.bus) == [each.id for each in made]
    assert said.splitlines()[-1] == "1 results: 1 published, 0 were there"


def test_an_object_that_nobody_can_read_stops_nothing(sluice: Desk) -> None:
    """It is counted, and the status says so."""
    good = work_on(sluice, "gate", 2)
    name = names.parse_chunk_key(a_chunk_ref("gate", seq=1).key)
    sluice.store.put(name.result_key("inspect"), b"{")
    sluice.store.put("results/inspect/gate/notes.txt", b"hello")
    sluice.store.put("results/readme", b"hello")
    sluice.store.put("results/inspect/No Camera/x.json", b"hello")
    wiped(sluice.bus)

    status, said = sluice.tried("republish", "--since", "1h", "--once")

    assert (status, said) == (1, "3 results: 1 published, 0 were there, 2 unreadable\n")
    assert on_the_stream(sluice.bus) == [good.id]


def test_every_function_and_camera_is_found_without_listing_all(sluice: Desk) -> None:
    """The folders, each once."""
    for function in ("inspect", "detect"):
        for camera in ("gate", "gate-2"):
            for seq in (1, 2, 3):
                work_on(sluice, camera, seq, function=function)

    assert list(folders(sluice.store)) == [
        (f"results/{function}/{camera}/", camera) for function in ("detect", "inspect") for camera in ("gate-2", "gate")
    ]


def test_the_objects_are_events_as_json(sluice: Desk) -> None:
    """What this rests on: an object is its event, whole."""
    made = work_on(sluice, "gate", 1)
    (listed,) = sluice.store.list("results/")

    assert json.loads(sluice.store.get(listed.key).body) == json.loads(events.to_structured(made))
