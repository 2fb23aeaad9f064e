"""A real Triton with the model repository of this checkout."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.local.program import Program, free_port, kill, start, stop, wait_ready
from sluice.local.tools import INSTALL, find_triton
from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program

READY_S = 60


class TritonServer:
    """One server, always at the same address."""

    def __init__(self, program: Program, ports: TritonPorts) -> None:
        self.url = f"127.0.0.1:{ports.grpc}"
        self.ports = ports
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it infers."""
        if self._process is None:
            self._process = start(self._program)
            wait_ready(self._program, self._process, timeout_s=READY_S)

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            stop(self._process, grace_s=20)
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            kill(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop, start."""
        self.stop()
        self.start()

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
        tasks = Path(f"/proc/{self.pid}/task")
        pids = {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}
        return [pid for pid in pids if name in Path(f"/proc/{pid}/cmdline").read_text()]


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """Triton on free loopback ports."""
    home = find_triton()
    if home is None:
        missing = f"Triton is not on this machine: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
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
