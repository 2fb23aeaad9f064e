"""A program that the local runtime or a test starts, waits for and ends by its recorded pid."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sluice.errors import UnavailableError

POLL_S = 0.02


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
    """A loopback port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    """True when something listens on the loopback *port*."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
