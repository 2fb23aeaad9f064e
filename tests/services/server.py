"""A real server for tests: the same start, stop and kill whichever it is."""

import os
import signal
from pathlib import Path
from subprocess import Popen
from typing import ClassVar

import pytest

from sluice.local import program
from sluice.local.program import Program
from tests.services.line import eventually
from tests.services.usage import text_of


class RunningServer:
    """It keeps its port and its data when it is started again."""

    ready_s: ClassVar[float] = 30
    grace_s: ClassVar[float] = 10

    _program: Program
    _process: Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        if self._process is None:
            self._process = program.start(self._program)
            program.wait_ready(self._program, self._process, timeout_s=self.ready_s)

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None:
            program.stop(self._process, grace_s=self.grace_s)
            self._process = None

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            program.kill(self._process)
            self._process = None

    def freeze(self) -> None:
        """It takes what is sent and answers nothing."""
        assert self._process
        freeze(self._process.pid)

    def thaw(self) -> None:
        """As if nothing had been."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """End it properly and start it again."""
        self.stop()
        self.start()


def freeze(pid: int, *, group: bool = False) -> None:
    """Stop a process, or the group that it leads, as a machine that hangs; SIGCONT lets it go on.

    Returns when it has stopped: one of its threads takes the signal, and the others may answer until it does.
    """
    (os.killpg if group else os.kill)(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    eventually(f"{pid} has stopped", lambda: all(_has_stopped(each / "stat") for each in tasks.iterdir()), within_s=10)


def _has_stopped(stat: Path) -> bool:
    # proc(5): behind the name in brackets; a thread that has ended answers nothing either.
    return text_of(stat).rpartition(")")[2].split()[:1] in ([], ["T"], ["t"], ["Z"], ["X"])


def needed(found: Path | None, missing: str) -> Path:
    """What was found; skips the test when it is missing, or fails it in CI."""
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
