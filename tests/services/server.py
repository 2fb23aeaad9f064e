"""A real server for tests: the same start, stop and kill whichever it is."""

import os
from pathlib import Path
from subprocess import Popen
from typing import ClassVar

import pytest

from sluice.local import program
from sluice.local.program import Program


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

    def restart(self) -> None:
        """End it properly and start it again."""
        self.stop()
        self.start()


def needed(found: Path | None, missing: str) -> Path:
    """What was found; skips the test when it is missing, or fails it in CI."""
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found
