"""A program that the local runtime or a test starts, waits for and ends by its recorded pid."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sluice.errors import UnavailableError

POLL_S = 0.02
CLAIMS: Final = 64
_CLAIMED: Final = deque[int]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, and how to tell that it is ready."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the path and locale of our own environment; nothing else is inherited."""
    directory: Path | None = None


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start it in a process group of its own, its output appended to its log."""
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**inherited(), **program.environment},
            cwd=program.directory,
            start_new_session=True,
        )


def inherited() -> dict[str, str]:
    """What a program gets of our own environment: where things are, and nothing about who we are."""
    return {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE") if name in os.environ
    }


def wait_ready(program: Program, process: subprocess.Popen[bytes], *, timeout_s: float = 30) -> None:
    """Return once it is ready; raises UnavailableError with the end of its log when it exits or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not program.ready():
        if process.poll() is not None:
            raise UnavailableError(program.name, f"exited with {process.returncode}: {log_tail(program)}")
        if time.monotonic() > deadline:
            raise UnavailableError(program.name, f"not ready after {timeout_s:g} s: {log_tail(program)}")
        time.sleep(POLL_S)


def stop(process: subprocess.Popen[bytes], *, grace_s: float = 10) -> None:
    """SIGTERM, and after *grace_s* SIGKILL to its whole group; returns when it is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            kill(process)
    process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to it and all that it started; returns when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def log_tail(program: Program, *, size: int = 600) -> str:
    """The end of its log."""
    if not program.log.exists():
        return "no output"
    return program.log.read_text("utf-8", "replace")[-size:].strip() or "no output"


def free_port() -> int:
    """A loopback port that is free, and for now given to nobody else who asks here."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if claim_port(port):
                return port


def claim_port(port: int) -> bool:
    """Keep it from others who ask here until its server listens, which it does only seconds later.

    By a name without a file (unix(7), abstract), known where the port is: in this network namespace. The kernel frees
    it when we die, and we do after CLAIMS more. Without Linux nobody can claim.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0sluice-port-{port}")
    except OSError as error:
        claim.close()
        return error.errno != errno.EADDRINUSE
    _CLAIMED.append(claim.detach())
    while len(_CLAIMED) > CLAIMS:
        os.close(_CLAIMED.popleft())
    return True


def accepts_connections(port: int) -> bool:
    """True when something listens on the loopback *port*."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
