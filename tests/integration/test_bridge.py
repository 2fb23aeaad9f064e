"""The bridge as a process between real servers: one event a chunk, whatever dies."""

import http.client
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from subprocess import Popen
from sys import executable
from typing import Any

import pytest

from sluice import events, names
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.rejection import InputRejected
from sluice.local import program
from sluice.names import ChunkName
from sluice.preparation.secrets import S3_SECRET, S3_USER, WEBHOOK_TOKEN
from sluice.topology import CHUNKS, CONSUMERS, RESULTS, Consumer
from tests.data.bridges.dies_before_ack import MARK, STREAM
from tests.services.broker import BrokerStub, broker_stub
from tests.services.line import eventually
from tests.services.prepared import BUCKET, PreparedServers, both_lanes, servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

ROOT = Path(__file__).parent.parent.parent
STARTED_MS = 1_795_239_600_000
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    with servers(minio_binary, tmp_path_factory.mktemp("bridge"), lanes=both_lanes) as both:
        both.prepare()
        yield both


@pytest.fixture
def broker() -> Iterator[BrokerStub]:
    with broker_stub() as stub:
        yield stub


@dataclass(kw_only=True)
class Bridge:
    """A bridge that runs as in the cluster."""

    program: program.Program
    port: int
    process: Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.process = program.start(self.program)
        program.wait_ready(self.program, self.process, timeout_s=30)

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> tuple[int, str]:
        """Its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def counted(self, metric: str) -> float:
        """The sum of a counter over its labels."""
        _, text = self.request("GET", "/metrics")
        return sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@contextmanager
def a_bridge(
    both: PreparedServers, broker: BrokerStub, folder: Path, *, module: str = "triggers.bridge.app", **more: str
) -> Iterator[Bridge]:
    """One that is not started yet."""
    port = program.free_port()
    environment = {
        **both.secrets.part("bridge"),
        "SLUICE_S3_URL": both.minio.url,
        "SLUICE_BUCKET": BUCKET,
        "SLUICE_NATS_URL": both.nats.url,
        "SLUICE_HOST": "127.0.0.1",
        "PORT": str(port),
        "K_SINK": broker.url,
        "PYTHONPATH": str(ROOT),
        **more,
    }
    run = program.Program(
        name="bridge",
        command=(executable, "-m", "sluice.serving", module),
        log=folder / "bridge.log",
        ready=partial(_is_ready, port),
        environment=environment,
    )
    bridge = Bridge(program=run, port=port)
    try:
        yield bridge
    finally:
        if bridge.process:
            program.stop(bridge.process)


def _is_ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health/readiness")
        return connection.getresponse().status == 204
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def a_name(camera: str) -> ChunkName:
    n = next(_numbers)
    return ChunkName(
        camera=camera,
        start_ms=STARTED_MS + n,
        duration_ms=3000,
        session=n,
        seq=n,
        activity="opening",
        init="0123abcd",
    )


def put(both: PreparedServers, *keys: str, metadata: Mapping[str, str] = {}) -> None:
    """As any S3 client does, as the segmenter's user."""
    import boto3

    mine = both.secrets.part("segmenter")
    client = boto3.client(
        "s3",
        endpoint_url=both.minio.url,
        region_name=both.minio.region,
        aws_access_key_id=mine[S3_USER],
        aws_secret_access_key=mine[S3_SECRET],
    )
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"chunk", Metadata=dict(metadata))
    client.close()


def on_stream(bus: Bus, stream: str, subject: str) -> list[Any]:
    """All messages of a subject."""
    reader = Consumer(stream=stream, name=f"reader-{next(_numbers)}", filter_subject=subject)
    bus.ensure([], [reader], [])
    subscription, found = bus.subscribe(reader), []
    while fetched := subscription.fetch(200, wait_s=0.3):
        found += fetched
        for message in fetched:
            message.ack()
    return found


def keys_of(both: PreparedServers, camera: str) -> Counter[str]:
    """How often each chunk of a camera stands on its stream."""
    with both.bus("admin") as bus:
        messages = on_stream(bus, CHUNKS.name, names.subject("chunks", camera))
    return Counter(events.from_nats(m.headers, m.payload, ChunkStored).data.chunk.key for m in messages)


def posted_ids(broker: BrokerStub) -> set[str]:
    return {headers["ce-id"] for headers, _ in broker.received}


def test_a_chunk_put_by_any_client_is_one_event_though_it_is_announced_twice(
    prepared: PreparedServers, broker: BrokerStub, tmp_path: Path
) -> None:
    """On the stream and at the Broker, with the metadata and the trace that its object has."""
    name = a_name("twice")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with a_bridge(prepared, broker, tmp_path) as bridge:
        bridge.start()

        put(prepared, name.key, metadata={"codec": "avc1.42c01e", "traceparent": trace})

        eventually("both lanes announced it", lambda: bridge.counted("sluice_bridge_in_total") == 2, within_s=15)
        eventually("it is at the Broker", lambda: broker.received)
        assert keys_of(prepared, "twice") == {name.key: 1}
        [(headers, body)] = broker.received
        event = events.from_http(headers, body, ChunkStored)
        assert event.data.chunk.key == name.key
        assert event.data.metadata["codec"] == "avc1.42c01e"
        assert event.extensions["traceparent"] == trace


@pytest.mark.parametrize("stream", ["SLUICE_INTAKE", "SLUICE_CHUNKS"])
def test_a_bridge_killed_between_publish_and_acknowledgement_doubles_nothing(
    prepared: PreparedServers, broker: BrokerStub, tmp_path: Path, stream: str
) -> None:
    """What it had done is done again under the same id; the Broker may see the event twice, and its functions know."""
    camera = f"killed-{stream[7:].lower()}"
    chunks = [a_name(camera) for _ in range(3)]
    mark = tmp_path / "died"
    impatient = [replace(consumer, ack_wait_s=2) for consumer in CONSUMERS]
    with prepared.bus("admin") as admin:
        admin.ensure([], impatient, [])
    fault = {MARK: str(mark), STREAM: stream}
    with a_bridge(prepared, broker, tmp_path, module="tests.data.bridges.dies_before_ack", **fault) as bridge:
        bridge.start()
        put(prepared, *(chunk.key for chunk in chunks))
        assert bridge.process is not None
        bridge.process.wait(30)
        assert mark.exists()

        bridge.start()

        wanted = {names.event_id(ChunkStored.TYPE, chunk.key, 0) for chunk in chunks}
        eventually("all are at the Broker", lambda: wanted <= posted_ids(broker))
        eventually("nothing is left to carry", lambda: is_idle(prepared))
        assert keys_of(prepared, camera) == {chunk.key: 1 for chunk in chunks}
    assert len(prepared.prepare()) == len(impatient)


def is_idle(both: PreparedServers) -> bool:
    """Nothing waits on the intake, and the bridge has ended all it was given."""
    import asyncio

    import nats

    settings = both.bus_settings("admin")

    async def ask() -> bool:
        client = await nats.connect(settings.url, user=settings.user, password=settings.password)
        stream = await client.jetstream().stream_info("SLUICE_INTAKE")
        consumer = await client.jetstream().consumer_info("SLUICE_CHUNKS", "bridge")
        await client.close()
        return not (stream.state.messages or consumer.num_pending or consumer.num_ack_pending)

    return asyncio.run(ask())


def test_poison_is_rejected_once_an_announcement_and_the_rest_goes_on(
    prepared: PreparedServers, broker: BrokerStub, tmp_path: Path
) -> None:
    """A name that is none of ours, junk from a webhook; a good chunk behind them."""
    good = a_name("poison")
    token = {"Authorization": f"Bearer {prepared.secrets.part('bridge')[WEBHOOK_TOKEN]}"}
    with a_bridge(prepared, broker, tmp_path) as bridge:
        bridge.start()

        put(prepared, "chunks/poison/hello world+ü.mp4", good.key)
        assert bridge.request("POST", "/webhook", b"junk", token)[0] == 204
        assert bridge.request("POST", "/webhook", b"junk", {"Authorization": "Bearer guess"})[0] == 401

        eventually("all is rejected", lambda: bridge.counted("sluice_bridge_rejected_total") == 3, within_s=15)
        eventually("the good one is at the Broker", lambda: broker.received)
        with prepared.bus("admin") as bus:
            rejected = on_stream(bus, RESULTS.name, "sluice.v1.rejected.*")
        said = [events.from_nats(m.headers, m.payload, InputRejected) for m in rejected]
        assert Counter(event.subject for event in said) == {"poison": 2, "_": 1}
        assert {event.data.where for event in said if event.subject == "poison"} == {"chunks/poison/hello world+ü.mp4"}
        assert keys_of(prepared, "poison") == {good.key: 1}


def test_what_is_put_while_nats_is_away_or_wiped_is_not_lost(
    prepared: PreparedServers, broker: BrokerStub, tmp_path: Path
) -> None:
    """The sure lane keeps it; the bridge makes the streams again, and connects again."""
    away, wiped, after = a_name("away"), a_name("away"), a_name("away")
    with a_bridge(prepared, broker, tmp_path) as bridge:
        bridge.start()

        prepared.nats.stop()
        put(prepared, away.key)
        prepared.nats.start()
        eventually("it came", lambda: names.event_id(ChunkStored.TYPE, away.key, 0) in posted_ids(broker))
        prepared.nats.stop()
        put(prepared, wiped.key)
        prepared.nats.wipe()
        put(prepared, after.key)

        wanted = {names.event_id(ChunkStored.TYPE, chunk.key, 0) for chunk in (wiped, after)}
        eventually("the others came", lambda: wanted <= posted_ids(broker))
        assert keys_of(prepared, "away") == {wiped.key: 1, after.key: 1}
        assert prepared.prepare() == ()


def test_a_bridge_that_is_told_to_end_ends_at_once_and_leaves_nothing_half_done(
    prepared: PreparedServers, broker: BrokerStub, tmp_path: Path
) -> None:
    """What it took is ended: its successor need not wait for ack_wait."""
    chunks = [a_name("ended") for _ in range(20)]
    with a_bridge(prepared, broker, tmp_path) as bridge:
        bridge.start()
        put(prepared, *(chunk.key for chunk in chunks[:10]))
        assert bridge.process is not None
        program.stop(bridge.process, grace_s=10)
        assert bridge.process.returncode == 0

        bridge.start()
        put(prepared, *(chunk.key for chunk in chunks[10:]))

        wanted = {names.event_id(ChunkStored.TYPE, chunk.key, 0) for chunk in chunks}
        eventually("all are at the Broker", lambda: wanted <= posted_ids(broker), within_s=15)
        assert keys_of(prepared, "ended") == {chunk.key: 1 for chunk in chunks}


def test_a_bridge_without_its_settings_ends_with_all_that_is_missing(tmp_path: Path) -> None:
    """Status 1, so that a CrashLoop shows it."""
    import subprocess

    ended = subprocess.run(
        [executable, "-m", "sluice.serving", "triggers.bridge.app"],
        env={"PYTHONPATH": str(ROOT), "PORT": str(program.free_port()), "SLUICE_HOST": "127.0.0.1"},
        capture_output=True,
        check=False,
        timeout=30,
        text=True,
    )

    assert ended.returncode == 1
    assert "SLUICE_NATS_URL" in ended.stdout + ended.stderr
    assert "K_SINK" in ended.stdout + ended.stderr
