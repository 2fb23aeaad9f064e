"""One chunk, one result, however often the event comes and wherever the function dies."""

from typing import Any

import pytest

from sluice import events, names
from sluice.contracts.chunk import ChunkInspected, ChunkRef
from sluice.contracts.rejection import InputRejected
from sluice.errors import UnavailableError, UnusableInputError
from sluice.once import answer_once
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from tests.builders import a_chunk_stored, an_inspection


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


CAUSE = a_chunk_stored(camera="gate")
RESULT_KEY = names.parse_chunk_key(CAUSE.data.chunk.key).result_key("inspect")


def inspected(chunk: ChunkRef, body: bytes) -> ChunkInspected:
    return an_inspection(chunk)


def hopeless(chunk: ChunkRef, body: bytes) -> ChunkInspected:
    raise UnusableInputError("an mp4", "a poem", chunk.key)


def not_again(chunk: ChunkRef, body: bytes) -> ChunkInspected:
    pytest.fail("the work was done twice")


def answered(store: MemoryStore, bus: MemoryBus, work: Any = inspected) -> Any:
    return answer_once(CAUSE, work, function="inspect", store=store, bus=bus)


def test_a_result_is_published_recorded_and_replied(store: MemoryStore, bus: MemoryBus) -> None:
    """All three say the same event."""
    store.put(CAUSE.data.chunk.key, b"chunk")

    answer = answered(store, bus)

    assert answer.data == an_inspection(CAUSE.data.chunk)
    assert events.from_structured(store.get(RESULT_KEY).body, ChunkInspected) == answer
    assert [each.subject for each in bus.published] == ["sluice.v1.health.gate"]


def test_the_second_event_is_answered_from_the_result_object(store: MemoryStore, bus: MemoryBus) -> None:
    """No work, no second message, the same reply."""
    store.put(CAUSE.data.chunk.key, b"chunk")
    first = answered(store, bus)

    second = answered(store, bus, not_again)

    assert second == first
    assert len(bus.published) == 1


def test_hopeless_input_has_a_result_object_that_says_so(store: MemoryStore, bus: MemoryBus) -> None:
    """So it is never tried again, and everybody can see why."""
    store.put(CAUSE.data.chunk.key, b"a poem")

    answer = answered(store, bus, hopeless)
    again = answered(store, bus, not_again)

    assert isinstance(answer.data, InputRejected)
    assert answer.data.found == "a poem"
    assert again == answer
    assert [each.subject for each in bus.published] == ["sluice.v1.rejected.gate"]


def test_a_chunk_that_is_gone_is_nothing_to_say(store: MemoryStore, bus: MemoryBus) -> None:
    """Retention was faster than the event."""
    assert answered(store, bus) is None
    assert bus.published == []


def test_death_after_publishing_doubles_nothing(store: MemoryStore, bus: MemoryBus) -> None:
    """The same id: the server drops the second message, the object is put once."""
    store.put(CAUSE.data.chunk.key, b"chunk")
    answered(store, bus)
    store.delete([RESULT_KEY])

    answered(store, bus)

    assert len(bus.published) == 1
    assert store.get(RESULT_KEY)


def test_whoever_puts_the_object_second_replies_from_the_first(store: MemoryStore, bus: MemoryBus) -> None:
    """Two instances at once give one answer."""
    store.put(CAUSE.data.chunk.key, b"chunk")

    def overtaken(chunk: ChunkRef, body: bytes) -> ChunkInspected:
        answered(store, bus)
        return an_inspection(chunk, fps=1.0)

    answer = answered(store, bus, overtaken)

    assert answer.data == an_inspection(CAUSE.data.chunk)
    assert len(bus.published) == 1


def test_without_nats_there_is_no_result_object(store: MemoryStore) -> None:
    """The object marks work whose message is out."""
    store.put(CAUSE.data.chunk.key, b"chunk")

    down = MemoryBus()
    down.available = False

    with pytest.raises(UnavailableError):
        answered(store, down)

    assert [each.key for each in store.list("results/")] == []
