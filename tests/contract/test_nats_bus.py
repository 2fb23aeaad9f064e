"""What only a real server shows: faults, rights, versions, and whose connection survives them."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.bus import NatsBus, Subscription
from sluice.errors import SettingsError, UnavailableError
from sluice.keyvalue import KeyValueEntry
from sluice.local.nats import NatsUser
from sluice.settings import BusSettings
from sluice.topology import BUCKETS, CONSUMERS, STREAMS, Bucket, Consumer, Stream
from tests.services.nats import NatsServer, nats_binary

pytestmark = pytest.mark.nats

TIMEOUT_S = 3.0
SOON_S = 10.0
LOG = Stream(name="LOG", subjects=("log.*",), about="a log", max_age_s=7200, max_bytes=1 << 20)
READER = Consumer(stream="LOG", name="reader", ack_wait_s=1)
ENTRIES = Bucket(name="entries", about="a bucket")
WRITER = NatsUser(name="writer", password="w", publish=("log.mine",), subscribe=("_INBOX.writer.>",))
READING = NatsUser(
    name="reading",
    password="r",
    publish=("$JS.API.CONSUMER.MSG.NEXT.LOG.reader", "$JS.ACK.LOG.reader.>"),
    subscribe=("_INBOX.reading.>",),
)
WATCHING = NatsUser(
    name="watching",
    password="s",
    publish=(
        "$JS.API.DIRECT.GET.KV_entries.>",
        "$JS.API.CONSUMER.CREATE.KV_entries.>",
        "$JS.API.CONSUMER.MSG.NEXT.KV_entries.>",
    ),
    subscribe=("_INBOX.watching.>",),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(nats_binary(), tmp_path, users=[WRITER, READING, WATCHING])
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bus(server: NatsServer) -> Iterator[NatsBus]:
    with closing(server) as bus:
        bus.ensure([LOG], [READER], [ENTRIES])
        yield bus


@contextmanager
def closing(server: NatsServer, user: NatsUser | None = None) -> Iterator[NatsBus]:
    """A bus for *user* that does not wait long."""
    bus = NatsBus(server.settings(user, timeout_s=TIMEOUT_S))
    try:
        yield bus
    finally:
        bus.close()


def put(bus: NatsBus, text: str, subject: str = "log.mine") -> None:
    bus.publish(subject, text.encode(), message_id=text)


def fetch_soon(subscription: Subscription, *, until: int = 1) -> list[str]:
    """The next messages, each acknowledged, whatever is wrong meanwhile."""
    deadline = time.monotonic() + SOON_S
    found: list[str] = []
    while len(found) < until and time.monotonic() < deadline:
        with suppress(UnavailableError):
            for message in subscription.fetch(10, wait_s=0.5):
                message.ack()
                found.append(message.payload.decode())
    return found


class TestFaults:
    """NATS goes and comes back, and the same objects go on."""

    def test_a_stopped_server_is_unavailable_in_time(self, server: NatsServer, bus: NatsBus) -> None:
        """Every call ends, and says where it knocked in vain."""
        subscription, bucket = bus.subscribe(READER), bus.bucket("entries")
        server.stop()

        for call in (
            lambda: put(bus, "a"),
            lambda: subscription.fetch(1, wait_s=0.2),
            lambda: bucket.get("gate"),
            lambda: bus.ensure([LOG], [], []),
        ):
            begun = time.monotonic()
            with pytest.raises(UnavailableError, match=r"no connection to 127\.0\.0\.1:\d+ within"):
                call()
            assert time.monotonic() - begun < TIMEOUT_S + 1

    def test_a_frozen_server_is_unavailable_in_time(self, server: NatsServer, bus: NatsBus) -> None:
        """It accepts what is sent and never answers; afterwards it is as if nothing had been."""
        put(bus, "a")
        server.freeze()
        begun = time.monotonic()

        with pytest.raises(UnavailableError, match=f"no answer within {TIMEOUT_S:g} s"):
            put(bus, "b")
        assert time.monotonic() - begun < TIMEOUT_S + 1
        server.thaw()

        put(bus, "c")

    def test_a_call_in_flight_ends_with_its_connection(self, server: NatsServer, bus: NatsBus) -> None:
        """Nobody waits for an answer that can no longer come."""
        put(bus, "a")
        patient = NatsBus(server.settings(timeout_s=60))
        put(patient, "b")
        server.freeze()
        caught: list[UnavailableError] = []

        def publish() -> None:
            try:
                put(patient, "c")
            except UnavailableError as error:
                caught.append(error)

        waiting = threading.Thread(target=publish, daemon=True)
        waiting.start()
        with pytest.raises(UnavailableError, match="no answer"):
            put(bus, "d")
        server.kill()
        waiting.join(SOON_S)

        assert [error.reason for error in caught] == ["log.mine: connection lost"]

    def test_a_late_answer_does_not_end_the_next_fetch(self, server: NatsServer, bus: NatsBus) -> None:
        """What the server says of a fetch that was given up is no word on the one that runs."""
        subscription = bus.subscribe(READER)
        assert subscription.fetch(1, wait_s=0.2) == []
        server.freeze()
        with pytest.raises(UnavailableError, match="no answer"):
            subscription.fetch(1, wait_s=0.2)
        server.thaw()
        begun = time.monotonic()

        assert subscription.fetch(1, wait_s=1) == []
        assert time.monotonic() - begun > 0.9

    def test_the_first_connection_may_fail(self, server: NatsServer) -> None:
        """A part may start before NATS does."""
        server.stop()
        with closing(server) as bus:
            with pytest.raises(UnavailableError):
                bus.ensure([LOG], [], [])
            server.start()

            bus.ensure([LOG], [], [])
            put(bus, "a")

    def test_a_call_bridges_a_short_restart(self, server: NatsServer, bus: NatsBus) -> None:
        """It waits for the server as long as its own time allows."""
        put(bus, "a")
        server.restart()

        put(bus, "b")

    def test_after_a_restart_everything_goes_on(self, server: NatsServer, bus: NatsBus) -> None:
        """The same objects work; what was acknowledged stays so, what was not comes again."""
        subscription, bucket = bus.subscribe(READER), bus.bucket("entries")
        revision = bucket.put("gate", b"one")
        put(bus, "done")
        put(bus, "open")
        done, still_open = subscription.fetch(2, wait_s=SOON_S)
        done.ack()

        server.restart()

        assert fetch_soon(subscription) == [still_open.payload.decode()] == ["open"]
        assert bucket.get("gate") == KeyValueEntry(key="gate", value=b"one", revision=revision)

    def test_a_message_may_be_acknowledged_after_a_restart(self, server: NatsServer, bus: NatsBus) -> None:
        """Its end goes over whatever connection is there."""
        patient = replace(READER, name="patient", ack_wait_s=60)
        bus.ensure([], [patient], [])
        put(bus, "a")
        (message,) = bus.subscribe(patient).fetch(1, wait_s=SOON_S)

        server.restart()
        message.ack()

        assert bus.subscribe(patient).fetch(1, wait_s=0.3) == []

    def test_what_was_acknowledged_to_a_publisher_outlives_a_kill(self, server: NatsServer, bus: NatsBus) -> None:
        """And so does the memory of its id."""
        put(bus, "a")
        server.kill()
        server.start()

        assert bus.publish("log.mine", b"a", message_id="a").duplicate
        assert fetch_soon(bus.subscribe(READER)) == ["a"]

    def test_a_waiting_fetch_ends_when_the_server_does(self, server: NatsServer, bus: NatsBus) -> None:
        """Not only when its own long wait is over; and the same subscription fetches afterwards."""
        subscription = bus.subscribe(READER)
        ended = threading.Event()

        def wait() -> None:
            with suppress(UnavailableError):
                subscription.fetch(10, wait_s=60)
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        _until_somebody_waits(bus)
        server.kill()

        assert ended.wait(SOON_S)
        server.start()
        put(bus, "a")
        assert fetch_soon(subscription) == ["a"]

    def test_a_wiped_server_is_healed_by_ensure(self, server: NatsServer, bus: NatsBus) -> None:
        """The same subscription and bucket work on what was made anew."""
        subscription, bucket = bus.subscribe(READER), bus.bucket("entries")
        put(bus, "lost")
        server.wipe()
        with pytest.raises(UnavailableError, match="no such consumer"):
            subscription.fetch(1, wait_s=0.2)
        with pytest.raises(UnavailableError):
            put(bus, "refused")

        made = bus.ensure([LOG], [READER], [ENTRIES])

        assert made == ("stream LOG: missing", "consumer LOG/reader: missing", "bucket entries: missing")
        put(bus, "a")
        assert bucket.create("gate", b"one") == 1
        assert fetch_soon(subscription) == ["a"]

    def test_a_watcher_outlives_restart_and_wipe(self, server: NatsServer, bus: NatsBus) -> None:
        """It is told what changed meanwhile, and nothing twice."""
        bucket = bus.bucket("entries")
        bucket.put("gate", b"one")
        bucket.put("yard", b"two")
        changes = bucket.watch(idle_s=0.3)
        assert [next(changes) for _ in range(3)][2] is None

        server.restart()
        bucket.put("gate", b"three")
        assert _told(changes) == [("gate", b"three")]

        server.wipe()
        bus.ensure([], [], [ENTRIES])
        bucket.put("gate", b"four")
        assert _told(changes) == [("gate", b"four")]

    def test_a_child_made_by_fork_has_a_connection_of_its_own(self, server: NatsServer, bus: NatsBus) -> None:
        """A thread does not survive a fork, so the child makes its own."""
        script = """
import os, sys
from sluice.bus import NatsBus
from sluice.settings import load, BusSettings
bus = NatsBus(load(BusSettings))
bus.publish("log.mine", b"parent", message_id="parent")
child = os.fork()
if child == 0:
    bus.publish("log.mine", b"child", message_id="child")
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
bus.publish("log.mine", b"after", message_id="after")
bus.close()
"""
        variables = {"SLUICE_NATS_URL": server.url, "SLUICE_NATS_USER": "writer", "SLUICE_NATS_PASSWORD": "w"}
        done = subprocess.run([sys.executable, "-c", script], env=variables, timeout=30, check=False)

        assert done.returncode == 0
        assert fetch_soon(bus.subscribe(READER), until=3) == ["parent", "child", "after"]


class TestRights:
    """Least rights are enough, and their lack is told at once."""

    def test_a_publisher_needs_its_subjects_and_its_inbox(self, server: NatsServer, bus: NatsBus) -> None:
        """Nothing of JetStream's API."""
        with closing(server, WRITER) as writer:
            put(writer, "a")

        assert fetch_soon(bus.subscribe(READER)) == ["a"]

    @pytest.mark.usefixtures("bus")
    def test_a_denied_publish_is_told_why(self, server: NatsServer) -> None:
        """The server refuses without reference to the message; nobody waits for the timeout."""
        with closing(server, WRITER) as writer:
            begun = time.monotonic()
            with pytest.raises(UnavailableError, match="permissions violation for publish"):
                put(writer, "a", subject="log.Others")
            assert time.monotonic() - begun < TIMEOUT_S
            put(writer, "b")

    def test_a_reader_needs_its_consumer_alone(self, server: NatsServer, bus: NatsBus) -> None:
        """To fetch and to acknowledge; every other consumer is closed to it."""
        put(bus, "a")
        with closing(server, READING) as reading:
            assert fetch_soon(reading.subscribe(READER)) == ["a"]
            with pytest.raises(UnavailableError, match="permissions violation"):
                reading.subscribe(replace(READER, name="other")).fetch(1, wait_s=0.2)

    def test_a_watcher_needs_its_bucket_alone(self, server: NatsServer, bus: NatsBus) -> None:
        """To read and to watch; it cannot write."""
        bus.bucket("entries").put("gate", b"one")
        with closing(server, WATCHING) as watching:
            bucket = watching.bucket("entries")

            assert _told(bucket.watch(idle_s=0.5)) == [("gate", b"one")]
            assert bucket.get("gate")
            with pytest.raises(UnavailableError, match="permissions violation"):
                bucket.put("gate", b"two")

    def test_a_wrong_password_is_told(self, server: NatsServer) -> None:
        """Rather than a timeout."""
        stranger = NatsBus(server.settings(replace(WRITER, password="guessed")))

        with pytest.raises(UnavailableError, match="Authorization Violation"):
            put(stranger, "a")


class TestDefinitions:
    """What `ensure` says and refuses."""

    def test_the_whole_topology_is_made_and_stays(self, bus: NatsBus) -> None:
        """Everything that the product uses fits on a fresh server."""
        made = bus.ensure(STREAMS, CONSUMERS, BUCKETS)

        assert len(made) == len(STREAMS) + len(CONSUMERS) + len(BUCKETS)
        assert bus.differences(STREAMS, CONSUMERS, BUCKETS) == ()

    def test_a_difference_is_a_sentence(self, bus: NatsBus) -> None:
        """What is there, and what shall be."""
        longer = replace(LOG, max_age_s=604_800, subjects=("log.*", "more.*"))
        slower = replace(READER, ack_wait_s=1.5, filter_subject="log.mine")

        told = bus.differences([longer], [slower], [])

        assert told == (
            "stream LOG: subjects log.* -> log.*,more.*, max_age 7200 s -> 604800 s",
            "consumer LOG/reader: filter_subject (none) -> log.mine, ack_wait 1 s -> 1.5 s",
        )
        assert bus.ensure([longer], [slower], []) == told
        assert bus.ensure([longer], [slower], []) == ()

    def test_what_cannot_be_changed_in_place_is_refused(self, bus: NatsBus) -> None:
        """A stream is never deleted behind anybody's back."""
        with pytest.raises(SettingsError, match="stream LOG: retention limits -> workqueue"):
            bus.ensure([replace(LOG, work_queue=True)], [], [])

    def test_a_server_that_is_too_old_is_refused(self) -> None:
        """It would take the definitions and ignore half of them."""
        with _impostor("2.9.10") as url, pytest.raises(SettingsError, match=r"NATS server 2\.9\.10: expected 2\.12"):
            NatsBus(BusSettings(url=url, timeout_s=TIMEOUT_S)).differences([LOG], [], [])


def test_the_address_in_an_error_has_no_password() -> None:
    """Errors are logged."""
    bus = NatsBus(BusSettings(url="nats://me:secret@127.0.0.1:9", timeout_s=0.3))

    with pytest.raises(UnavailableError) as caught:
        put(bus, "a")

    assert "secret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)


def test_nothing_is_imported_before_the_first_call() -> None:
    """A function's cold start does not pay for a client that it may never need."""
    script = """
import sys
from sluice.bus import NatsBus
from sluice.settings import BusSettings
NatsBus(BusSettings(url="nats://nowhere")).close()
assert not [name for name in sys.modules if name.split(".")[0] in ("nats", "asyncio")]
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0


def test_the_client_comes_without_its_websockets() -> None:
    """They need aiohttp, which would more than double the import."""
    script = """
import sys
import sluice.jetstream.messages
assert "nats.aio.client" in sys.modules
assert "aiohttp" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=30, check=False).returncode == 0


def _told(changes: Iterator[KeyValueEntry | None]) -> list[tuple[str, bytes | None]]:
    """The changes up to the first pause after one."""
    deadline = time.monotonic() + SOON_S
    told: list[tuple[str, bytes | None]] = []
    for entry in changes:
        if entry:
            told.append((entry.key, entry.value))
        elif told or time.monotonic() > deadline:
            break
    return told


def _until_somebody_waits(bus: NatsBus) -> None:
    """A fetch has arrived at the server."""
    deadline = time.monotonic() + SOON_S
    while not bus._connection().call(lambda link: link.js.consumer_info("LOG", "reader"), about="LOG").num_waiting:
        assert time.monotonic() < deadline


@contextmanager
def _impostor(version: str) -> Iterator[str]:
    """Says hello as a NATS server of that version, and answers pings."""
    hello = {"server_id": "old", "version": version, "max_payload": 1024, "headers": True, "proto": 1}

    def serve() -> None:
        with suppress(OSError):
            client = listener.accept()[0]
            with client:
                client.sendall(b"INFO " + json.dumps(hello).encode() + b"\r\n")
                while heard := client.recv(4096):
                    if b"PING" in heard:
                        client.sendall(b"PONG\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"
