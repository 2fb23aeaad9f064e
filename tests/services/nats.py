"""A real NATS server for tests, with JetStream as the local runtime configures it."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sluice.local import program
from sluice.local.nats import NatsUser, nats_config, nats_program, reload_config
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
        self._store, self._config = folder / "jetstream", folder / "nats.conf"
        self._port, self._monitor_port = port, program.free_port()
        self._program = nats_program(binary=binary, config=self._config, port=port, log=folder / "nats.log")
        self.url = f"nats://127.0.0.1:{port}"
        self._write(users)

    def settings(self, user: NatsUser | None = None, *, timeout_s: float = 5.0) -> BusSettings:
        """How *user*, or the admin, connects."""
        name, password = (user.name, user.password) if user else (self.admin_user, self.admin_password)
        return BusSettings(url=self.url, user=name, password=password, timeout_s=timeout_s)

    def let_in(self, *users: NatsUser) -> None:
        """From now on these, and the admin."""
        self._write(users)
        self.ask_to_reload()

    def ask_to_reload(self) -> None:
        """As the local runtime does."""
        assert self._process
        reload_config(self._process.pid, monitor_port=self._monitor_port)

    def write_nonsense(self) -> None:
        """A configuration that it refuses."""
        self._config.write_text("listen: {", "utf-8")

    def _write(self, users: Sequence[NatsUser]) -> None:
        admin = NatsUser(name=self.admin_user, password=self.admin_password)
        text = nats_config(port=self._port, monitor_port=self._monitor_port, store=self._store, users=[admin, *users])
        self._config.write_text(text, "utf-8")

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
