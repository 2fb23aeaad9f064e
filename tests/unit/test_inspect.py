"""The function inspect: an announced chunk becomes findings or a rejection, once."""

import pytest

from functions.inspect.app import create_app
from functions.inspect.handler import handle
from segmenter.muxer import metadata, one_chunk
from segmenter.pattern import pattern_clip
from sluice.contracts.chunk import ChunkInspected
from sluice.contracts.rejection import InputRejected
from sluice.names import parse_chunk_key
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import STREAMS
from tests.builders import NOON_MS, a_chunk, a_chunk_stored


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus()
    bus.ensure(STREAMS, [], [])
    return bus


def test_a_chunk_is_inspected(store: MemoryStore, bus: MemoryBus) -> None:
    """The reply, the message and the result object are one."""
    cause = a_chunk_stored("gate")
    store.put(cause.data.chunk.key, a_chunk()[1])

    answer = handle(cause, store=store, bus=bus)

    assert answer is not None
    assert isinstance(answer.data, ChunkInspected)
    assert (answer.type, answer.source) == ("dev.sluice.chunk.inspected.v1", "/cameras/gate/inspect")
    assert (answer.data.video.width, answer.data.video.height, answer.data.video.fps) == (320, 180, 25.0)
    assert [each.subject for each in bus.published] == ["sluice.v1.health.gate"]
    assert [each.key for each in store.list("results/inspect/gate/")] == [
        parse_chunk_key(cause.data.chunk.key).result_key("inspect")
    ]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Dear Sir or Madam", id="text"),
        pytest.param(a_chunk()[1][:900], id="truncated-in-its-header"),
    ],
)
def test_what_is_no_chunk_is_rejected(store: MemoryStore, bus: MemoryBus, body: bytes) -> None:
    """A rejection is an answer: it is recorded, so the sweeper does not ask again."""
    cause = a_chunk_stored("gate")
    store.put(cause.data.chunk.key, body)

    answer = handle(cause, store=store, bus=bus)

    assert answer is not None
    assert isinstance(answer.data, InputRejected)
    assert (answer.data.part, answer.data.where) == ("inspect", cause.data.chunk.key)
    assert [each.subject for each in bus.published] == ["sluice.v1.rejected.gate"]
    assert len(list(store.list("results/inspect/gate/"))) == 1


def test_a_chunk_cut_off_in_its_media_is_inspected_with_advice(store: MemoryStore, bus: MemoryBus) -> None:
    """What is there says enough about the camera."""
    cause = a_chunk_stored("gate")
    body = a_chunk()[1]
    store.put(cause.data.chunk.key, body[: len(body) * 2 // 3])

    answer = handle(cause, store=store, bus=bus)

    assert answer is not None
    assert isinstance(answer.data, ChunkInspected)
    assert answer.data.advice[0].code == "truncated"


def test_the_metadata_tells_of_sound_that_was_left_out(store: MemoryStore, bus: MemoryBus) -> None:
    """From the segmenter's flag to a sentence for the operator."""
    clip = pattern_clip(size=(160, 96), seconds=1, audio=True, audio_codec="pcm_mulaw", container="mov")
    chunk = one_chunk(clip, anchor_ms=NOON_MS)
    cause = a_chunk_stored("gate", metadata=metadata(chunk, camera="gate"))
    store.put(cause.data.chunk.key, chunk.body)

    answer = handle(cause, store=store, bus=bus)

    assert answer is not None
    assert "audio-codec" in [advice.code for advice in answer.data.advice]


def test_the_app_is_wired_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is healthy before store and NATS are: they are needed by the first event only."""
    for name, value in {
        "SLUICE_S3_URL": "http://127.0.0.1:1",
        "SLUICE_S3_ACCESS_KEY": "inspect",
        "SLUICE_S3_SECRET_KEY": "secret",
        "SLUICE_NATS_URL": "nats://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)

    client = create_app().test_client()

    assert client.get("/health/readiness").status_code in (200, 204)
