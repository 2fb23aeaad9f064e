"""The bridge on a bus in memory and a Broker of a few lines: what it publishes, posts, buries and lets wait."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sluice import events, names
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.rejection import InputRejected
from sluice.errors import SettingsError
from sluice.process import CLOSERS
from sluice.settings import ServingSettings
from sluice.testing.bus import MemoryBus
from sluice.testing.streams import Sent
from sluice.topology import BUCKETS, CONSUMERS, STREAMS
from tests.services.broker import BrokerStub, broker_stub
from triggers.bridge import pump
from triggers.bridge.app import bridge_app
from triggers.bridge.deadletters import trigger_of
from triggers.bridge.settings import BridgeSettings
from triggers.bridge.sink import Sink

GOLDEN = Path(__file__).parent.parent / "data" / "notifications"
FIRST = "chunks/gate/2026-11-21/05/1795239600000-03000-000001-0000000001-o-0123abcd.mp4"
CHUNKS_SUBJECT = "sluice.v1.chunks.gate"
TOKEN = "let-me-in"


@pytest.fixture
def broker() -> Iterator[BrokerStub]:
    with broker_stub() as stub:
        yield stub


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def app(bus: MemoryBus, broker: BrokerStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(pump, "FETCH_WAIT_S", 0.05)
    monkeypatch.setattr(pump, "FIRST_RETRY_S", 0.01)
    settings = BridgeSettings(sink=broker.url, webhook_token=TOKEN, post_timeout_s=2)
    app = bridge_app(settings, ServingSettings(), bus=bus)
    yield app
    for close in app.extensions[CLOSERS]:
        close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def eventually(what: str, holds: Callable[[], Any], *, within_s: float = 5) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.005)
    return answer


def on(bus: MemoryBus, prefix: str) -> list[Sent]:
    return [sent for sent in bus.published if sent.subject.startswith(prefix)]


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def announce(bus: MemoryBus, payload: bytes, lane: str = "fast") -> None:
    bus.publish(f"sluice.intake.{lane}", payload, message_id=f"{lane}-{time.monotonic_ns()}")


def is_idle(bus: MemoryBus) -> bool:
    """Nothing waits for an end: the intake is a work queue, and what was taken from the other stream is ended."""
    streams, consumers = bus._streams, bus._consumers
    chunks = consumers["consumer SLUICE_CHUNKS/bridge"]
    return (
        not streams["stream SLUICE_INTAKE"].messages
        and not chunks.due
        and chunks.next > streams["stream SLUICE_CHUNKS"].last
    )


def test_a_chunk_announced_twice_is_one_event_at_the_broker(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """The second copy is dropped by its id; what is posted is the event in binary mode."""
    announce(bus, golden("minio-put.json"), "fast")
    announce(bus, golden("minio-put.json"), "sure")

    eventually("both are done with", lambda: is_idle(bus) and broker.received)

    [sent] = on(bus, "sluice.v1.")
    [(headers, body)] = broker.received
    event = events.from_http(headers, body, ChunkStored)
    assert sent.subject == CHUNKS_SUBJECT
    assert sent.message_id == event.id == names.event_id(ChunkStored.TYPE, FIRST, 0)
    assert event.data.chunk.key == FIRST
    assert event == events.from_nats(sent.headers, sent.payload, ChunkStored)
    assert "nats-msg-id" not in headers
    assert headers["content-type"] == "application/json"


def test_each_record_of_a_message_is_an_event(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """AWS may put several into one."""
    announce(bus, golden("aws-two-records.json"))

    eventually("both are posted", lambda: len(broker.received) == 2)


def test_an_event_of_the_sweeper_goes_the_same_way(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Its attempt, and so its id, is its own: no duplicate window swallows it."""
    announce(bus, golden("aws-put.json"))
    eventually("the first is posted", lambda: broker.received)
    first = events.from_http(*broker.received[0], ChunkStored)
    identity = names.event_id(ChunkStored.TYPE, FIRST, 1)
    again = events.new(first.data, part="sweep", camera="gate", event_id=identity, attempt=1)
    headers, payload = events.to_nats(again)

    bus.publish("sluice.intake.sure", payload, message_id=identity, headers=headers)
    eventually("the second is posted", lambda: len(broker.received) == 2)

    assert events.from_http(*broker.received[1], ChunkStored) == again


@pytest.mark.parametrize(
    "key", ["init/gate/0123abcd.mp4", "chunks/gate/readme.txt", "results/inspect/gate/x.json", "chunks.mp4"]
)
def test_other_keys_are_ignored(app: Flask, bus: MemoryBus, key: str) -> None:
    """Somebody's rule may be wider than ours; that is no fault of the announcement."""
    announce(bus, golden("aws-put.json").replace(FIRST.encode(), key.encode()))

    eventually("it is done with", lambda: is_idle(bus))

    assert on(bus, "sluice.v1.") == []
    assert 'sluice_bridge_ignored_total{part="bridge",reason="key"} 1.0' in metrics(app)


def metrics(app: Flask) -> str:
    return app.test_client().get("/metrics").get_data(as_text=True)


def test_another_bucket_is_ignored(app: Flask, bus: MemoryBus) -> None:
    """A reference into it would point to nothing in ours."""
    announce(bus, golden("aws-put.json").replace(b'"name": "sluice"', b'"name": "attic"'))

    eventually("it is done with", lambda: is_idle(bus))

    assert on(bus, "sluice.v1.") == []


def test_poison_is_rejected_and_keeps_nothing_waiting(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Junk, a chunk that is named like none, an event that is broken; and a good one behind them."""
    announce(bus, b"junk")
    announce(bus, golden("minio-empty.json"))
    bus.publish("sluice.intake.sure", b"{}", message_id="x", headers={"ce-type": "dev.sluice.chunk.stored.v1"})
    announce(bus, golden("aws-put.json"))

    eventually("all are done with", lambda: is_idle(bus) and broker.received)

    rejected = {
        sent.subject: events.from_nats(sent.headers, sent.payload, InputRejected)
        for sent in on(bus, "sluice.v1.rejected.")
    }
    assert set(rejected) == {"sluice.v1.rejected._", "sluice.v1.rejected.gate"}
    assert len(on(bus, "sluice.v1.rejected.")) == 3
    odd = rejected["sluice.v1.rejected.gate"]
    assert odd.data.where.startswith("chunks/gate/2026-11-21/05/odd name")
    assert odd.data.part == "bridge"
    assert odd.id in {names.event_id(InputRejected.TYPE, "SLUICE_INTAKE", n) for n in range(1, 5)}
    assert len(on(bus, CHUNKS_SUBJECT)) == len(broker.received) == 1


def test_a_bad_record_leaves_the_good_ones_of_its_message(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Each record is taken or rejected by itself."""
    body = json.loads(golden("aws-two-records.json"))
    body["Records"].insert(0, {"eventName": "ObjectCreated:Put"})

    announce(bus, json.dumps(body).encode())
    eventually("both good ones are posted", lambda: len(broker.received) == 2)

    assert len(on(bus, "sluice.v1.rejected._")) == 1


def test_a_malformed_message_among_the_events_is_poison_too(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Somebody published to the stream what is no event."""
    bus.publish(CHUNKS_SUBJECT, b"hello", message_id="x")
    announce(bus, golden("aws-put.json"))

    eventually("all are done with", lambda: is_idle(bus) and broker.received)

    [rejection] = on(bus, "sluice.v1.rejected._")
    event = events.from_nats(rejection.headers, rejection.payload, InputRejected)
    assert event.data.where == "SLUICE_CHUNKS 1: headers"
    assert event.id == names.event_id(InputRejected.TYPE, "SLUICE_CHUNKS", 1)


def test_events_of_any_type_are_posted_in_the_mode_they_have(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """The segmenter's camera.online goes the same way, and so will types that are not thought of yet."""
    binary = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/x",
        "ce-type": "t",
        "ce-note": "a%20b",
        "ce-datacontenttype": "text/plain",
    }
    structured = json.dumps({"specversion": "1.0", "id": "2", "source": "/x", "type": "t", "data": 1}).encode()
    bus.publish("sluice.v1.cameras.gate", b"hi", message_id="1", headers=binary)
    bus.publish(
        "sluice.v1.cameras.gate", structured, message_id="2", headers={"Content-Type": "application/cloudevents+json"}
    )

    eventually("both are posted", lambda: len(broker.received) == 2)

    by_body = {body: headers for headers, body in broker.received}
    assert by_body[b"hi"]["ce-note"] == "a%20b"
    assert by_body[b"hi"]["content-type"] == "text/plain"
    assert "ce-datacontenttype" not in by_body[b"hi"]
    assert by_body[structured]["content-type"] == "application/cloudevents+json"
    assert events.peek(by_body[structured], structured)["id"] == "2"


@pytest.mark.parametrize("status", [500, 503, 404, 408, 409, 429, 302])
def test_what_may_succeed_later_is_posted_again(app: Flask, bus: MemoryBus, broker: BrokerStub, status: int) -> None:
    """Until the Broker has it; nothing is buried."""
    broker.statuses = [status, status]

    announce(bus, golden("aws-put.json"))
    eventually("it is posted three times and done with", lambda: len(broker.received) == 3 and is_idle(bus))

    assert on(bus, "sluice.deadletter.") == []


@pytest.mark.parametrize("status", [400, 401, 413, 415, 422])
def test_what_the_broker_refuses_for_good_is_a_dead_letter(
    app: Flask, bus: MemoryBus, broker: BrokerStub, status: int
) -> None:
    """With the error as Knative writes it; the event is still whole."""
    broker.statuses = [status]

    announce(bus, golden("aws-put.json"))
    [letter] = eventually("it is buried", lambda: on(bus, "sluice.deadletter."))

    assert letter.subject == "sluice.deadletter.bridge"
    assert letter.headers["ce-knativeerrordest"] == broker.url
    assert letter.headers["ce-knativeerrorcode"] == str(status)
    assert base64.b64decode(letter.headers["ce-knativeerrordata"]) == b"told to"
    assert events.from_nats(letter.headers, letter.payload, ChunkStored).data.chunk.key == FIRST
    eventually("it is done with", lambda: is_idle(bus))
    assert len(broker.received) == 1


def test_one_event_that_fails_keeps_no_other_waiting(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Order does not matter: whoever needs it reads the names."""
    broker.statuses = [503] * 3

    announce(bus, golden("aws-two-records.json"))
    eventually("both are delivered", lambda: is_idle(bus) and len(broker.received) >= 5)

    assert len({headers["ce-id"] for headers, _ in broker.received}) == 2


def test_more_events_than_workers_are_carried_over_kept_connections(
    app: Flask, bus: MemoryBus, broker: BrokerStub, caplog: pytest.LogCaptureFixture
) -> None:
    """One a worker at most; nothing goes wrong when all are busy."""
    for n in range(40):
        headers = {"ce-specversion": "1.0", "ce-id": str(n), "ce-source": "/x", "ce-type": "t"}
        bus.publish("sluice.v1.cameras.gate", b"", message_id=str(n), headers=headers)

    eventually("all are posted", lambda: len(broker.received) == 40)

    assert len(broker.connections) <= BridgeSettings(sink="http://x").workers
    assert [each.getMessage() for each in caplog.records if each.levelname == "ERROR"] == []


def test_a_wiped_server_gets_back_what_it_lost(app: Flask, bus: MemoryBus, broker: BrokerStub) -> None:
    """Streams, consumers and buckets, by the definitions that init uses; and the line goes on."""
    bus.wipe()

    eventually("all is made again", lambda: not bus.differences(STREAMS, CONSUMERS, BUCKETS))
    announce(bus, golden("aws-put.json"))

    eventually("the line goes on", lambda: broker.received)


def test_a_server_that_is_away_is_waited_for(
    app: Flask, bus: MemoryBus, broker: BrokerStub, caplog: pytest.LogCaptureFixture
) -> None:
    """The same loops go on once it is back."""
    bus.available = False
    eventually("both pumps noticed", lambda: {"in", "out"} <= {each.partition(":")[0] for each in caplog.messages})
    bus.available = True

    announce(bus, golden("aws-put.json"))

    eventually("it is delivered", lambda: broker.received)


def test_it_is_ready_while_its_loops_run_and_nats_answers(app: Flask, client: FlaskClient) -> None:
    """And says why when it is not."""
    eventually("it is ready", lambda: client.get("/health/readiness").status_code == 204)

    for close in app.extensions[CLOSERS]:
        close()
    answer = client.get("/health/readiness")

    assert answer.status_code == 503
    assert answer.get_json() == {"reason": "not running: in, out, keeper"}
    assert client.get("/health/liveness").status_code == 204


def test_without_nats_it_is_not_ready(broker: BrokerStub) -> None:
    """From the start: there is nothing that it could do."""
    bus = MemoryBus()
    bus.available = False
    app = bridge_app(BridgeSettings(sink=broker.url), ServingSettings(), bus=bus)
    try:
        answer = app.test_client().get("/health/readiness")
    finally:
        for close in app.extensions[CLOSERS]:
            close()

    assert answer.status_code == 503


def posted(client: FlaskClient, body: bytes, authorization: str = f"Bearer {TOKEN}") -> int:
    return client.post("/webhook", data=body, headers={"Authorization": authorization}).status_code


def test_an_announcement_by_webhook_is_one_of_the_sure_lane(
    client: FlaskClient, bus: MemoryBus, broker: BrokerStub
) -> None:
    """Acknowledged once it is durable; a second copy is dropped."""
    body = golden("minio-put.json")

    assert [posted(client, body), posted(client, body)] == [204, 204]

    [sent] = on(bus, "sluice.intake.")
    assert (sent.subject, sent.message_id) == ("sluice.intake.sure", hashlib.sha256(body).hexdigest())
    eventually("it goes its way", lambda: broker.received)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ünrecht"])
def test_a_webhook_without_the_token_is_not_let_in(client: FlaskClient, bus: MemoryBus, authorization: str) -> None:
    """Nothing of its body is looked at."""
    assert posted(client, golden("minio-put.json"), authorization) == 401

    assert on(bus, "sluice.intake.") == []


def test_without_a_token_of_its_own_nobody_is_let_in(bus: MemoryBus, broker: BrokerStub) -> None:
    """An empty token is no token."""
    app = bridge_app(BridgeSettings(sink=broker.url), ServingSettings(), bus=bus)
    try:
        statuses = [posted(app.test_client(), b"{}", each) for each in ("", "Bearer", "Bearer ")]
    finally:
        for close in app.extensions[CLOSERS]:
            close()

    assert statuses == [401, 401, 401]


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 2 << 20])
def test_what_a_webhook_will_never_take_is_answered_as_taken(client: FlaskClient, bus: MemoryBus, size: int) -> None:
    """MinIO tries one announcement until it gets a 2xx, and holds all others back: 413 would stop it for ever."""
    assert posted(client, b"x" * size) == 204

    assert on(bus, "sluice.intake.") == []


def test_while_nats_is_away_a_webhook_is_told_to_come_again(client: FlaskClient, bus: MemoryBus) -> None:
    """The store keeps it in its queue."""
    bus.available = False

    assert posted(client, golden("minio-put.json")) == 503


LETTER = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/cameras/gate/bridge",
    "ce-type": "dev.sluice.chunk.stored.v1",
    "ce-knativeerrordest": "http://inspect.default.svc.cluster.local/",
    "ce-knativeerrorcode": "500",
    "ce-knativeerrordata": "b29wcw==",
    "Content-Type": "application/json",
}


def test_a_dead_letter_is_kept_with_its_error(client: FlaskClient, bus: MemoryBus) -> None:
    """Under the name of who could not be reached; handed in twice, it is kept once."""
    statuses = [client.post("/deadletter", data=b'{"a":1}', headers=LETTER).status_code for _ in range(2)]

    [kept] = on(bus, "sluice.deadletter.")
    assert statuses == [204, 204]
    assert kept.subject == "sluice.deadletter.inspect"
    assert kept.payload == b'{"a":1}'
    assert {name: kept.headers[name] for name in LETTER if name != "Content-Type"} == {
        name: text for name, text in LETTER.items() if name != "Content-Type"
    }
    assert kept.headers["ce-datacontenttype"] == "application/json"


def test_a_structured_dead_letter_is_kept_in_binary_mode(client: FlaskClient, bus: MemoryBus) -> None:
    """Its data as JSON, or as the bytes that were in base64."""
    members: list[dict[str, Any]] = [{"data": {"a": 1}}, {"data_base64": "aGk="}, {}]
    for n, member in enumerate(members):
        envelope = {"specversion": "1.0", "id": str(n), "source": "/x", "type": "t", "knativeerrorcode": 500, **member}
        headers = {"Content-Type": "application/cloudevents+json"}
        assert client.post("/deadletter", data=json.dumps(envelope), headers=headers).status_code == 204

    kept = on(bus, "sluice.deadletter.unknown")

    assert [each.payload for each in kept] == [b'{"a":1}', b"hi", b""]
    assert kept[0].headers["ce-knativeerrorcode"] == "500"


def test_what_died_again_after_a_replay_is_a_letter_of_its_own(client: FlaskClient, bus: MemoryBus) -> None:
    """Its first letter is gone by then; a copy dropped by its id would be an event lost."""
    for arrival in ("2026-11-21T05:00:00Z", "2026-11-21T06:00:00Z"):
        client.post("/deadletter", data=b"{}", headers={**LETTER, "ce-knativearrivaltime": arrival})

    assert len(on(bus, "sluice.deadletter.")) == 2


def test_a_dead_letter_is_refused_when_it_cannot_be_kept(client: FlaskClient, bus: MemoryBus) -> None:
    """503 while NATS is away, so that the Broker tries again; 400 for what is no event."""
    bus.available = False
    away = client.post("/deadletter", data=b"{}", headers=LETTER).status_code
    bus.available = True

    assert away == 503
    assert client.post("/deadletter", data=b"{}").status_code == 400
    assert client.post("/deadletter", data=b"x" * ((1 << 20) - 100), headers=LETTER).status_code == 413


@pytest.mark.parametrize(
    ("destination", "trigger"),
    [
        ("http://inspect.default.svc.cluster.local", "inspect"),
        ("http://inspect.default.svc.cluster.local:80/path", "inspect"),
        ("https://bridge", "bridge"),
        ("http://127.0.0.1:8080/", "unknown"),
        ("http://[::1]/", "unknown"),
        ("http://[broken", "unknown"),
        ("http://under_score.x/", "unknown"),
        ("", "unknown"),
        ("inspect", "unknown"),
    ],
)
def test_a_trigger_is_named_by_its_subscriber(destination: str, trigger: str) -> None:
    """Whatever a header holds, the subject is one of ours."""
    assert trigger_of(destination) == trigger


def test_retries_wait_longer_and_longer_but_never_long() -> None:
    """A Broker that comes back is noticed within half a minute, after whatever time."""
    assert [pump.pause_s(n) for n in (1, 2, 3, 9, 10, 10_000)] == [0.1, 0.2, 0.4, 25.6, 30, 30]


@pytest.mark.parametrize("url", ["", "broker", "ftp://broker/", "http://"])
def test_a_sink_that_is_no_address_ends_the_start(url: str) -> None:
    """Named by its variable."""
    with pytest.raises(SettingsError, match="K_SINK"):
        Sink(url, timeout_s=1)
