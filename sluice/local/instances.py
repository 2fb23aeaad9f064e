"""Processes that are watched: servers, Deployments, and the instances of functions."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sluice.errors import UnavailableError
from sluice.local import program
from sluice.local.program import Program
from sluice.local.state import State

POLL_S: Final = 0.01
WATCH_S: Final = 0.05
Probe = Callable[[], Awaitable[bool]]
STEADY_S: Final = 10
"""Who ran this long before its end did not crash at the start."""


class Backoff:
    """How long to wait before the next start: nothing after the first crash, then longer and longer, at most 10 s."""

    def __init__(self) -> None:
        self.crashes = 0

    def crashed(self, *, after_s: float) -> float:
        """Count a crash; returns the wait."""
        self.crashes = 1 if after_s > STEADY_S else self.crashes + 1
        return 0.0 if self.crashes == 1 else min(0.25 * 2.0**self.crashes, 10)


class Instance:
    """One started process."""

    def __init__(self, running: Program, state: State) -> None:
        """Start it; raises UnavailableError when there is no such command."""
        self.program = running
        self.began = time.monotonic()
        try:
            self._process: subprocess.Popen[bytes] = program.start(running)
        except OSError as error:
            raise UnavailableError(running.name, f"{running.command[0]}: {error.strerror}") from error
        self._state = state
        state.record(self._process.pid, running.name)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def age_s(self) -> float:
        """Since its start."""
        return time.monotonic() - self.began

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    async def ready(self, *, timeout_s: float, probe: Probe | None = None) -> None:
        """Return once it is ready; raises UnavailableError with the end of its log when it never will be."""
        deadline = time.monotonic() + timeout_s
        while not await (probe() if probe else asyncio.to_thread(self.program.ready)):
            if not self.is_running or time.monotonic() > deadline:
                reason = "not ready in time" if self.is_running else f"exited with {self._process.poll()}"
                raise UnavailableError(self.program.name, f"{reason}: {program.log_tail(self.program)}")
            await asyncio.sleep(POLL_S)

    async def ended(self) -> int:
        """Wait for its end; returns its status."""
        while (status := self._process.poll()) is None:
            await asyncio.sleep(WATCH_S)
        self._bury()
        return status

    async def stop(self, *, grace_s: float) -> None:
        """SIGTERM, and after *grace_s* SIGKILL to its whole group."""
        if self.is_running:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.ended()
        self._bury()

    def _bury(self) -> None:
        # What it started must not outlive it: gunicorn's workers, Triton's stubs.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._state.forget(self._process.pid)


class Supervised:
    """A program that is to run all the time: started again when it ends, later and later while it crashes."""

    def __init__(self, wanted: Program, state: State, *, grace_s: float = 30, ready_s: float = 60) -> None:
        self.program = wanted
        self.phase = "starting"
        self.restarts = 0
        self.problem: str | None = None
        self.is_ready = asyncio.Event()
        self._state, self._grace_s, self._ready_s = state, grace_s, ready_s
        self._instance: Instance | None = None
        self._backoff, self._ended_for = Backoff(), ""

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._instance.pid if self._instance else None

    async def run(self) -> None:
        """Keep it running until cancelled, then stop it."""
        try:
            while True:
                began = time.monotonic()
                try:
                    self._instance = Instance(self.program, self._state)
                    await self._live(self._instance)
                except UnavailableError as error:
                    self.problem = error.reason
                wait_s = self._backoff.crashed(after_s=time.monotonic() - began)
                self.phase, self._instance = f"starts again in {wait_s:g} s", None
                print(f"{self.program.name}: {self.problem}; {self.phase}", flush=True)
                await asyncio.sleep(wait_s)
                self.restarts += 1
                self.phase = "starting"
        finally:
            self.phase = "stopped"
            if self._instance:
                await self._instance.stop(grace_s=self._grace_s)

    async def _live(self, instance: Instance) -> None:
        try:
            await instance.ready(timeout_s=self._ready_s)
        except UnavailableError:
            await instance.stop(grace_s=2)
            raise
        self.phase = "running"
        self.is_ready.set()
        status = await instance.ended()
        self.is_ready.clear()
        self.problem = self._ended_for or f"exited with {status}: {program.log_tail(self.program, size=300)}"
        self._ended_for = ""

    def restart(self, reason: str) -> None:
        """End a process that runs but does not work."""
        if self._instance and self._instance.is_running:
            self._ended_for = reason
            os.killpg(self._instance.pid, signal.SIGKILL)
