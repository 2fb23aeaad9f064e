"""A real NATS server for tests, with JetStream as the local runtime configures it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import Popen

import pytest

from sluice.local import program
from sluice.local.nats import NatsUser, nats_config, nats_program
from sluice.local.tools import find_nats_server
from sluice.settings import BusSettings

READY_S = 20


class NatsServer:
    """One server on a loopback port of its own; it keeps its port and its data when it is started again."""

    admin_user = "admin"
    admin_password = "only-for-tests"

    def __init__(self, binary: Path, folder: Path, *, users: Sequence[NatsUser] = ()) -> None:
        port = program.free_port()
        config = folder / "nats.conf"
        self._store = folder / "jetstream"
        self._program = nats_program(binary=binary, config=config, port=port, log=folder / "nats.log")
        self._process: Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{port}"
        admin = NatsUser(name=self.admin_user, password=self.admin_password)
        config.write_text(nats_config(port=port, store=self._store, users=[admin, *users]), "utf-8")

    def settings(self, user: NatsUser | None = None, *, timeout_s: float = 5.0) -> BusSettings:
        """How *user*, or the admin, connects."""
        name, password = (user.name, user.password) if user else (self.admin_user, self.admin_password)
        return BusSettings(url=self.url, user=name, password=password, timeout_s=timeout_s)

    def start(self) -> None:
        """Start it and wait until it listens."""
        if self._process is None:
            self._process = program.start(self._program)
            program.wait_ready(self._program, self._process, timeout_s=READY_S)

    def stop(self) -> None:
        """Ask it to end."""
        if self._process:
            program.stop(self._process)
            self._process = None

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            program.kill(self._process)
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        if self._process:
            self._process.send_signal(number)

    def restart(self) -> None:
        """End it properly and start it again."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Start it again with nothing in it."""
        self.stop()
        shutil.rmtree(self._store, ignore_errors=True)
        self.start()


def nats_binary() -> Path:
    """The server's program; skips the test without one, or fails it in CI."""
    found = find_nats_server()
    if found:
        return found
    remedy = "nats-server is missing: run `make tools`"
    if os.environ.get("CI"):
        pytest.fail(remedy)
    pytest.skip(remedy)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests of a run, which therefore use names of their own, and leave it running."""
    server = NatsServer(nats_binary(), tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()
