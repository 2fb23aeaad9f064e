"""Who is let in changes while NATS runs: in force at once, and felt by nobody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from sluice.bus import NatsBus
from sluice.errors import UnavailableError
from sluice.local import nats
from sluice.local.nats import NatsUser, reload_config
from sluice.topology import RESULTS
from tests.services.nats import NatsServer, nats_binary

ROUNDS = 20
NO_PROCESS = (1 << 22) + 1
"""Above what Linux allows."""
GUESTS = tuple(
    NatsUser(name=name, password=f"{name}-only", publish=("sluice.v1.>",), subscribe=(f"_INBOX.{name}.>",))
    for name in ("ada", "ben")
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One with the stream of results."""
    server = NatsServer(nats_binary(), tmp_path_factory.mktemp("nats"))
    server.start()
    with closing(NatsBus(server.settings())) as bus:
        bus.ensure([RESULTS], [], [])
    yield server
    server.stop()


def publish(server: NatsServer, guest: NatsUser, message_id: str) -> None:
    with closing(NatsBus(server.settings(guest))) as bus:
        bus.publish("sluice.v1.health.gate", b"{}", message_id=message_id)


def test_what_was_changed_is_in_force_when_it_returns(server: NatsServer) -> None:
    """Whoever is let in may connect at once, and is not cut off half-way; the one before is gone."""
    for number in range(ROUNDS):
        welcome, gone = GUESTS[number % 2], GUESTS[1 - number % 2]

        server.let_in(welcome)

        publish(server, welcome, f"welcome-{number}")
        with pytest.raises(UnavailableError, match=r"(?i)authorization violation"):
            publish(server, gone, f"gone-{number}")


def test_who_stays_in_is_not_disturbed(server: NatsServer) -> None:
    """The parts keep their connections, whoever comes and goes."""
    with closing(NatsBus(server.settings())) as bus:
        for number in range(ROUNDS):
            bus.publish("sluice.v1.health.gate", b"{}", message_id=f"before-{number}")
            server.let_in(GUESTS[number % 2])
            bus.publish("sluice.v1.health.gate", b"{}", message_id=f"after-{number}")


def test_who_connects_meanwhile_is_let_in(server: NatsServer) -> None:
    """The server turns away whoever is half-way in, with any reason; a part tries again."""
    with ThreadPoolExecutor(1) as pool:
        for number in range(ROUNDS):
            reloaded = pool.submit(server.ask_to_reload)
            with closing(NatsBus(server.settings())) as bus:
                bus.publish("sluice.v1.health.gate", b"{}", message_id=f"meanwhile-{number}")
            reloaded.result()


def test_a_file_that_the_server_refuses_is_said(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with what it has."""
    server.let_in(GUESTS[0])
    monkeypatch.setattr(nats, "RELOAD_S", 0.5)
    server.write_nonsense()

    with pytest.raises(UnavailableError, match="not in force after"):
        server.ask_to_reload()

    publish(server, GUESTS[0], "still")


def test_a_server_that_is_not_there_is_said() -> None:
    """Nobody is signalled then."""
    with pytest.raises(UnavailableError, match="its monitor on port 1"):
        reload_config(NO_PROCESS, monitor_port=1)
