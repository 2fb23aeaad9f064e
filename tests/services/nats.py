"""A real NATS server for tests, with JetStream as the local runtime configures it."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sluice.local import program
from sluice.local.nats import NatsUser, nats_config, nats_program
from sluice.local.tools import find_nats_server
from sluice.settings import BusSettings
from tests.services.server import RunningServer, needed


class NatsServer(RunningServer):
    """One server on a loopback port of its own; it keeps its port and its data when it is started again."""

    ready_s = 20
    admin_user = "admin"
    admin_password = "only-for-tests"

    def __init__(self, binary: Path, folder: Path, *, users: Sequence[NatsUser] = ()) -> None:
        port = program.free_port()
        config = folder / "nats.conf"
        self._store = folder / "jetstream"
        self._program = nats_program(binary=binary, config=config, port=port, log=folder / "nats.log")
        self.url = f"nats://127.0.0.1:{port}"
        admin = NatsUser(name=self.admin_user, password=self.admin_password)
        config.write_text(nats_config(port=port, store=self._store, users=[admin, *users]), "utf-8")

    def settings(self, user: NatsUser | None = None, *, timeout_s: float = 5.0) -> BusSettings:
        """How *user*, or the admin, connects."""
        name, password = (user.name, user.password) if user else (self.admin_user, self.admin_password)
        return BusSettings(url=self.url, user=name, password=password, timeout_s=timeout_s)

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        if self._process:
            self._process.send_signal(number)

    def wipe(self) -> None:
        """Start it again with nothing in it."""
        self.stop()
        shutil.rmtree(self._store, ignore_errors=True)
        self.start()


def nats_binary() -> Path:
    """The server's program; skips the test without one, or fails it in CI."""
    return needed(find_nats_server(), "nats-server is missing: run `make tools`")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests of a run, which therefore use names of their own, and leave it running."""
    server = NatsServer(nats_binary(), tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()
