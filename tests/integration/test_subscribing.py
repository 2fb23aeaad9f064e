"""Reading events from outside, on a real NATS server: the commands, the users, what the documents show."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice import events, names
from sluice.bus import Bus, NatsBus
from sluice.contracts.envelope import Event
from sluice.errors import UnavailableError
from sluice.topology import BUCKETS, CONSUMERS, STREAMS
from tests.services.line import eventually
from tests.services.nats import NatsServer, nats_binary

pytestmark = pytest.mark.nats

GOLDENS = Path(__file__).parent.parent / "data" / "events"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(nats_binary(), tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bus(server: NatsServer) -> Iterator[NatsBus]:
    bus = NatsBus(server.settings())
    bus.ensure(STREAMS, CONSUMERS, BUCKETS)
    yield bus
    bus.close()


def put(bus: Bus, name: str, *, message_id: str | None = None) -> Event[Any]:
    """Publish the golden event as its part does."""
    event = events.from_structured(
        (GOLDENS / f"{name}.v1.json").read_bytes(), events.CONTRACTS[f"dev.sluice.{name}.v1"]
    )
    headers, payload = events.to_nats(event)
    subject = names.subject(event.data.KIND, event.subject)
    bus.publish(subject, payload, message_id=message_id or event.id, headers=headers)
    return event


def as_admin(server: NatsServer) -> dict[str, str]:
    """The environment of a command that talks to this server; it never asks the store."""
    return {
        **os.environ,
        "SLUICE_NATS_URL": server.url,
        "SLUICE_NATS_USER": server.admin_user,
        "SLUICE_NATS_PASSWORD": server.admin_password,
        "SLUICE_S3_URL": "http://127.0.0.1:9",
        "SLUICE_S3_ACCESS_KEY": "nobody",
        "SLUICE_S3_SECRET_KEY": "nothing",
    }


def sluice(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sluice.cli.main", *map(str, arguments)]


def try_put(bus: Bus, name: str, message_id: str) -> bool:
    try:
        put(bus, name, message_id=message_id)
    except UnavailableError:
        return False
    return True


def test_following_outlives_restart_and_wipe_and_ends_by_ctrl_c(
    server: NatsServer, bus: NatsBus, tmp_path: Path
) -> None:
    """Each event once, whatever happened to the server meanwhile."""
    put(bus, "chunk.stored")
    shown, told = tmp_path / "out", tmp_path / "err"
    command = sluice("events", "--json", "--since", "1h", "--state", tmp_path)
    with shown.open("wb") as out, told.open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=as_admin(server), start_new_session=True)
    try:
        eventually("the past is shown", lambda: shown.read_text().count("\n") == 1)
        put(bus, "chunk.inspected")
        eventually("the present is shown", lambda: shown.read_text().count("\n") == 2)
        server.restart()
        eventually("NATS is there again", lambda: try_put(bus, "camera.online", "a"))
        eventually("what came after the restart is shown", lambda: shown.read_text().count("\n") == 3)
        server.wipe()
        bus.ensure(STREAMS, CONSUMERS, BUCKETS)
        put(bus, "camera.offline")
        eventually("what came after the wipe is shown", lambda: shown.read_text().count("\n") == 4)
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(20)

    types = [json.loads(line)["type"].split(".", 2)[2] for line in shown.read_text().splitlines()]
    assert types == ["chunk.stored.v1", "chunk.inspected.v1", "camera.online.v1", "camera.offline.v1"]
    assert status == 130
    assert "Traceback" not in told.read_text()


def test_the_past_of_one_camera_and_kind_can_be_printed(server: NatsServer, bus: NatsBus, tmp_path: Path) -> None:
    """And the command ends by itself, though nothing ends the stream."""
    for number in range(500):
        put(bus, "objects.detected", message_id=str(number))
    put(bus, "chunk.inspected")
    command = sluice("events", "--kind", "detections", "--camera", "gate", "--no-follow", "--state", tmp_path)

    done = subprocess.run(command, capture_output=True, text=True, env=as_admin(server), timeout=60, check=True)

    assert done.stdout.count(" objects.detected ") == 500
    assert done.stdout.count("\n") == 500
