"""A real Triton with the model repository of this checkout."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.local.program import Program, accepts_connections, free_port
from sluice.local.tools import INSTALL, find_triton
from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program
from tests.services.server import RunningServer, needed
from tests.services.usage import children, text_of


class TritonServer(RunningServer):
    """One server, always at the same address."""

    ready_s = 60
    grace_s = 20

    def __init__(self, program: Program, ports: TritonPorts) -> None:
        self.url = f"127.0.0.1:{ports.grpc}"
        self.ports = ports
        # The metrics' port is the last one to open.
        self._program = replace(program, ready=lambda: program.ready() and accepts_connections(ports.metrics))

    @property
    def command(self) -> tuple[str, ...]:
        """What was started."""
        return tuple(self._program.command)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def runs(self) -> bool:
        """True until it has exited."""
        return self._process is not None and self._process.poll() is None

    def processes(self, name: str) -> list[int]:
        """The pids of what it started itself whose command holds *name*."""
        return [pid for pid in children(self.pid) if name in text_of(Path(f"/proc/{pid}/cmdline"))]


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton on free loopback ports."""
    home = needed(find_triton(), f"Triton is not on this machine: {INSTALL}")
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "models"
    assemble(repository)
    ports = TritonPorts(http=free_port(), grpc=free_port(), metrics=free_port())
    server = TritonServer(
        triton_program(home=home, repository=repository, ports=ports, log=folder / "triton.log"), ports
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()
        forget_shared_memory(repository)
