"""The state folder: one lock, stable ports, records of what runs, logs. Nothing in it is the truth about events."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sluice.errors import SettingsError, UnavailableError
from sluice.local.program import claim_port, free_port

LEFTOVER_GRACE_S: Final = 10
MAX_LOG_BYTES: Final = 32 << 20


class State:
    """The folder of one runtime; made private, as it holds secrets and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        for name in ("logs", "run", "data"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._ports: dict[str, int] = _read(self.folder / "ports.json") or {}
        self._ours: set[str] = set()
        """Names of ports that were claimed: not free any longer, as their servers listen."""
        self._lock: int | None = None

    def lock(self) -> None:
        """Claim the folder; the kernel gives it free when we die, however we die."""
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError((f"a runtime runs in {self.folder} already: sluice status, sluice down",)) from error

    def port(self, name: str, *, wanted: int | None = None) -> int:
        """The loopback port of *name*, at first *wanted*: the same at each start while nobody else takes it."""
        if name in self._ours:
            return self._ports[name]
        port = self._ports.get(name, wanted)
        if port is None or not (_is_free(port) and claim_port(port)):
            port = self._fresh_port()
        if self._ports.get(name) != port:
            self._ports[name] = port
            _write(self.folder / "ports.json", self._ports)
        self._ours.add(name)
        return port

    def _fresh_port(self) -> int:
        while (port := free_port()) in self._ports.values():
            pass
        return port

    def log(self, name: str) -> Path:
        """The log of a part; a large one is kept once as <name>.log.old."""
        path = self.folder / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))
        return path

    def record(self, pid: int, name: str) -> None:
        """Note a process that we started, so that the next runtime can end it should we die."""
        _write(self.folder / "run" / f"{pid}.json", {"pid": pid, "started": started_at(pid), "name": name})

    def forget(self, pid: int) -> None:
        """The process is gone."""
        (self.folder / "run" / f"{pid}.json").unlink(missing_ok=True)

    def end_leftovers(self) -> list[str]:
        """End what a killed runtime left running, each with its whole group; returns the names."""
        records = [_read(path) or {} for path in (self.folder / "run").glob("*.json")]
        alive = [each for each in records if "pid" in each and is_running(each["pid"], each["started"])]
        for each in alive:
            _signal_group(each["pid"], signal.SIGTERM)
        deadline = time.monotonic() + LEFTOVER_GRACE_S
        while any(is_running(each["pid"], each["started"]) for each in alive) and time.monotonic() < deadline:
            time.sleep(0.05)
        for each in alive:
            _signal_group(each["pid"], signal.SIGKILL)
        for path in (self.folder / "run").glob("*.json"):
            path.unlink()
        return sorted(each["name"] for each in alive)

    def write_runtime(self, facts: Mapping[str, Any]) -> None:
        """Tell other processes who we are and where everything listens."""
        mine = {"pid": os.getpid(), "pid_started": started_at(os.getpid())}
        _write(self.folder / "runtime.json", {**mine, **facts})

    def remove_runtime(self) -> None:
        """We are gone."""
        (self.folder / "runtime.json").unlink(missing_ok=True)


def read_runtime(folder: Path) -> dict[str, Any] | None:
    """What the running runtime wrote; None when none runs."""
    facts = _read(folder / "runtime.json")
    if facts is None or not is_running(facts["pid"], facts["pid_started"]):
        return None
    return facts


def running(folder: Path) -> dict[str, Any]:
    """What the running runtime wrote; raises UnavailableError when none runs."""
    facts = read_runtime(folder)
    if facts is None:
        raise UnavailableError("the local runtime", f"none runs in {folder}: sluice up")
    return facts


def started_at(pid: int) -> str | None:
    """When the process started, in whatever unit: with its pid it names a process for ever. None: there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
        found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return found.stdout.strip() or None
    # The name in brackets may hold anything; the state and the start time are fields 3 and 22 of proc(5).
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else after_name[19]


def is_running(pid: int, started: str | None) -> bool:
    """True while this very process lives, not another one that got its number."""
    return started is not None and started_at(pid) == started


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of the last run that still linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    # Readable by its owner alone from the first byte on, and whole or not there.
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    draft.replace(path)
