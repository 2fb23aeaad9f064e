"""`sluice user` on the running line: who is let in, to what, how long, and that it is reading alone."""

import asyncio
import json
import os
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import pytest

from sluice import events, names
from sluice.errors import UnavailableError
from sluice.preparation.readers import load
from sluice.topology import CHUNKS, RESULTS
from tests.integration.test_subscribing import GOLDENS
from tests.services.line import Line, eventually

pytestmark = pytest.mark.line

T = TypeVar("T")
ANSWER_S = 1.0


@dataclass(frozen=True)
class Login:
    """What `sluice user add` printed."""

    user: str
    password: str

    def run(self, line: Line, work: Callable[["Guest"], Awaitable[T]]) -> T:
        """Do something as this user, on a connection of its own."""

        async def connected() -> T:
            guest = await Guest.of(line, self)
            try:
                return await work(guest)
            finally:
                await guest.client.close()

        return asyncio.run(connected())

    def is_let_in(self, line: Line) -> bool:
        """Whether user and password are taken."""
        try:
            self.run(line, lambda _guest: asyncio.sleep(0))
        except UnavailableError:
            return False
        return True


class Guest:
    """A client as anybody may write one."""

    def __init__(self, client: Any, refusals: list[str]) -> None:
        self.client, self.refusals = client, refusals

    @classmethod
    async def of(cls, line: Line, login: Login) -> "Guest":
        """Connected, or UnavailableError."""
        import nats
        import nats.errors

        refusals = list[str]()

        async def noted(error: Exception) -> None:
            refusals.append(str(error))

        client = nats.NATS()
        try:
            await client.connect(
                line.runtime()["endpoints"]["nats"],
                user=login.user,
                password=login.password,
                inbox_prefix=f"_INBOX.{login.user}",
                error_cb=noted,
                allow_reconnect=False,
            )
        except (nats.errors.Error, OSError) as error:
            await client.close()
            raise UnavailableError("nats", str(error)) from error
        return cls(client, refusals)

    async def asked(self, subject: str, body: object) -> dict[str, Any] | None:
        """JetStream's answer; None when the question is not allowed."""
        import nats.errors

        try:
            answer = await self.client.request(subject, json.dumps(body).encode(), timeout=ANSWER_S)
        except (TimeoutError, nats.errors.Error):
            return None
        found: dict[str, Any] = json.loads(answer.data)
        return found

    async def may_listen(self, subject: str) -> bool:
        """Whether the server lets it subscribe."""
        await self.client.subscribe(subject)
        await self.client.flush()
        # The refusal has arrived by now, but the library tells of it in its own time.
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                while not any(subject.lower() in each for each in self.refusals):
                    await asyncio.sleep(0.01)
        return not any(subject.lower() in each for each in self.refusals)

    async def fetched(self, stream: str, consumer: str) -> list[str]:
        """Ids of what a consumer holds for it, acknowledged."""
        import nats.js.errors

        subscription = await self.client.jetstream().pull_subscribe_bind(consumer, stream)
        found = list[str]()
        while True:
            try:
                messages = await subscription.fetch(100, timeout=ANSWER_S)
            except (TimeoutError, nats.js.errors.ServiceUnavailableError):  # nothing more, or no such consumer
                return found
            for message in messages:
                found.append(message.headers["Nats-Msg-Id"])
                await message.ack_sync()


def added(line: Line, *arguments: str) -> Login:
    said = line.run("user", *arguments)
    shown = dict(each.split(maxsplit=1) for each in said.splitlines())
    return Login(shown["user"], shown["password"].split()[0])


def put(line: Line, name: str, camera: str, message_id: str) -> None:
    body = (GOLDENS / f"{name}.v1.json").read_bytes().replace(b"gate", camera.encode())
    event = events.from_structured(body, events.CONTRACTS[f"dev.sluice.{name}.v1"])
    headers, payload = events.to_nats(event)
    bus = line.bus()
    bus.publish(names.subject(event.data.KIND, camera), payload, message_id=message_id, headers=headers)
    bus.close()


@pytest.fixture(scope="module")
def wall(line: Line) -> Login:
    """A user who may read the detections of one camera; there are messages of others."""
    login = added(line, "add", "wall", "--camera", "gate", "--kind", "detections")
    for number in range(3):
        put(line, "objects.detected", "gate", f"gate-{number}")
        put(line, "objects.detected", "yard", f"yard-{number}")
    put(line, "chunk.inspected", "gate", "health")
    return login


def test_what_was_missed_comes_until_it_is_acknowledged(line: Line, wall: Login) -> None:
    """Of its camera and kind alone; and once."""
    first = wall.run(line, lambda guest: guest.fetched(RESULTS.name, "user-wall"))
    second = wall.run(line, lambda guest: guest.fetched(RESULTS.name, "user-wall"))

    assert (first, second) == (["gate-0", "gate-1", "gate-2"], [])


def test_the_replay_can_begin_again(line: Line, wall: Login) -> None:
    """Whoever lost what he had read asks the administrator."""
    wall.run(line, lambda guest: guest.fetched(RESULTS.name, "user-wall"))

    line.run("user", "replay", "wall", "--since", "1h")

    assert wall.run(line, lambda guest: guest.fetched(RESULTS.name, "user-wall")) == ["gate-0", "gate-1", "gate-2"]


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("sluice.v1.detections.gate", True),
        ("_INBOX.user-wall.mine", True),
        ("sluice.v1.detections.yard", False),
        ("sluice.v1.detections.*", False),
        ("sluice.v1.health.gate", False),
        ("sluice.v1.>", False),
        ("sluice.intake.fast", False),
        ("$KV.sluice_cameras.>", False),
        ("_INBOX.>", False),
        (">", False),
    ],
)
def test_it_listens_to_its_subjects_alone(line: Line, wall: Login, subject: str, *, allowed: bool) -> None:
    """Live, too."""
    assert wall.run(line, lambda guest: guest.may_listen(subject)) is allowed


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("sluice.v1.detections.gate", {}),
        ("sluice.intake.fast", {}),
        ("$KV.sluice_cameras.gate", {}),
        ("$JS.API.STREAM.PURGE.SLUICE_RESULTS", {}),
        ("$JS.API.STREAM.INFO.SLUICE_RESULTS", {}),
        ("$JS.API.STREAM.MSG.GET.SLUICE_RESULTS", {"seq": 1}),
        ("$JS.API.DIRECT.GET.SLUICE_RESULTS", {"seq": 1}),
        ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_CHUNKS.bridge", {"batch": 1}),
        ("$JS.API.CONSUMER.MSG.NEXT.SLUICE_RESULTS.user-other", {"batch": 1}),
        ("$JS.API.CONSUMER.DELETE.SLUICE_RESULTS.user-wall", {}),
        (
            "$JS.API.CONSUMER.CREATE.SLUICE_RESULTS.user-wall.sluice.v1.detections.gate",
            {"stream_name": "SLUICE_RESULTS", "config": {"name": "user-wall", "deliver_subject": "x"}},
        ),
        ("$JS.API.CONSUMER.DURABLE.CREATE.SLUICE_RESULTS.user-wall", {"stream_name": "SLUICE_RESULTS", "config": {}}),
        ("$JS.API.CONSUMER.LIST.SLUICE_RESULTS", {}),
    ],
)
def test_it_can_neither_publish_nor_make_nor_see_more(line: Line, wall: Login, subject: str, body: object) -> None:
    """Least of all a consumer: whoever makes one chooses where the server delivers and stores."""
    assert wall.run(line, lambda guest: guest.asked(subject, body)) is None


def test_one_without_limits_reads_everything_of_both_streams(line: Line) -> None:
    """Live by one wildcard, and by a consumer a stream."""
    login = added(line, "add", "auditor", "--since", "0s")
    put(line, "chunk.inspected", "shed", "shed-health")
    put(line, "camera.online", "shed", "shed-online")

    assert login.run(line, lambda guest: guest.may_listen("sluice.v1.>"))
    assert login.run(line, lambda guest: guest.fetched(RESULTS.name, "user-auditor")) == ["shed-health"]
    assert login.run(line, lambda guest: guest.fetched(CHUNKS.name, "user-auditor")) == ["shed-online"]
    assert not login.run(line, lambda guest: guest.may_listen("sluice.intake.*"))


def test_who_is_removed_is_disconnected(line: Line) -> None:
    """Not only refused when he comes again."""
    login = added(line, "add", "brief")

    async def until_thrown_out(guest: Guest) -> bool:
        await asyncio.to_thread(line.run, "user", "remove", "brief")
        async with asyncio.timeout(10):
            while guest.client.is_connected:
                await asyncio.sleep(0.05)
        return True

    assert login.run(line, until_thrown_out)
    assert not login.is_let_in(line)
    assert "brief" not in line.run("user", "list")


def test_whose_time_is_over_is_not_let_in(line: Line) -> None:
    """Though the object is still there, and says so."""
    login = added(line, "add", "late", "--days", "1e-9")

    assert not login.is_let_in(line)
    assert "late                 expired 20" in line.run("user", "list")


def test_who_is_connected_when_his_time_ends_is_thrown_out(line: Line) -> None:
    """The runtime sees to it, as NATS' own users have no end."""
    login = added(line, "add", "visitor", "--days", "1")

    async def until_thrown_out(guest: Guest) -> bool:
        await asyncio.to_thread(end_time_of, line, "visitor")
        async with asyncio.timeout(20):
            # What the runtime does twice a minute by itself.
            await asyncio.to_thread(look_now, line)
            while guest.client.is_connected:
                await asyncio.sleep(0.01)
        return True

    assert login.run(line, until_thrown_out)
    assert not login.is_let_in(line)


def test_nats_reads_its_users_when_they_changed_and_no_other_time(line: Line) -> None:
    """While it reads it turns clients away; one that was started again has read them already."""

    def times_read() -> int:
        return (line.state / "logs" / "nats-server.log").read_text().count("Reloaded server configuration")

    added(line, "add", "here", "--kind", "health")
    before, pid = times_read(), line.pid("nats-server")
    look_now(line)
    os.kill(pid, signal.SIGKILL)
    eventually("NATS is back", lambda: line.pid("nats-server") not in {pid, None})
    eventually("its users were looked at", lambda: has_looked(line))

    assert times_read() == before
    added(line, "add", "there")
    assert times_read() == before + 1


def end_time_of(line: Line, name: str) -> None:
    """As if it had been let in until now."""
    store = line.store()
    ended = replace(load(store, name), expires=datetime.now(UTC))
    store.put(ended.key, msgspec.json.encode(ended))
    store.close()


def has_looked(line: Line) -> bool:
    try:
        look_now(line)
    except urllib.error.HTTPError:  # NATS is not there yet
        return False
    return True


def look_now(line: Line) -> None:
    url = line.runtime()["endpoints"]["admin"] + "/users"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=20) as answer:
        assert answer.status == 200


def test_nobody_is_added_twice(line: Line) -> None:
    """A second password for the same name would be a surprise to the first."""
    added(line, "add", "twice")

    with pytest.raises(AssertionError, match="there is a user 'twice' already"):
        line.run("user", "add", "twice")


def test_no_password_is_kept(line: Line) -> None:
    """Neither in the bucket nor in NATS' configuration."""
    login = added(line, "add", "secretive")

    stored = line.store().get("users/secretive.json").body.decode()
    assert login.is_let_in(line)
    assert login.password not in stored + (line.state / "nats.conf").read_text()
    assert '"$2a$' in stored


def test_users_and_their_places_outlive_a_restart_and_a_wipe(line: Line) -> None:
    """The bucket knows them; what NATS knew is made again."""
    login = added(line, "add", "steady", "--kind", "health")
    line.stop()
    shutil.rmtree(line.state / "data" / "nats")
    line.start()
    put(line, "chunk.inspected", "gate", "after")

    eventually("it is let in again", lambda: login.is_let_in(line))
    found = eventually(
        "its place is made again", lambda: login.run(line, lambda guest: guest.fetched(RESULTS.name, "user-steady"))
    )
    assert found == ["after"]
