"""A place for a worker process, as the supervisor sees it: started again whenever it ends, with the same cameras."""

import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from segmenter.fleet.outbox import Outbox
from segmenter.fleet.wire import MOST_BYTES, Message
from segmenter.ingest.handover import Handover
from sluice.contracts.camera import Camera
from sluice.errors import UnavailableError

CRASHES_S: Final = 60.0
"""Crashes within as long are the same trouble."""
LONGEST_WAIT_S: Final = 10.0
KILL_S: Final = 1.0
SILENT_S: Final = 30.0
"""A worker reports each second; one that has not for as long hangs, and is killed."""
COMMAND: Final = (sys.executable, "-m", "segmenter.fleet.worker")
START_TIMES: Final = 4
"""As often as long it may take to say the first word: where a machine is overloaded, killing makes it worse."""
_LOOKS: Final = 6
_PIECE: Final = 1 << 16

log = logging.getLogger("segmenter.slot")


def pause_s(crashes: int) -> float:
    """Before the next start, after so many of late: none the first time, as sixteen cameras wait."""
    return 0.0 if crashes <= 1 else min(LONGEST_WAIT_S, 0.25 * 2**crashes)


class Slot:
    """start() once, end() once; all calls come from one loop, and none but end() waits."""

    def __init__(
        self,
        number: int,
        *,
        told: Callable[["Slot", Message], None],
        died: Callable[["Slot", str], None],
        command: Sequence[str] = COMMAND,
        silent_s: float = SILENT_S,
    ) -> None:
        """*told* gets what the worker says, *died* the reason when it ended unasked."""
        self.number = number
        self.cameras: dict[str, Camera] = {}
        self.leaving: dict[str, str] = {}
        """Cameras whose spool is drained, and why they left."""
        self.reports: dict[str, dict[str, Any]] = {}
        self.crashes: deque[float] = deque(maxlen=10)
        self._told, self._died = told, died
        self._command, self._silent_s = tuple(command), silent_s
        self._process: asyncio.subprocess.Process | None = None
        self._outbox: Outbox | None = None
        self._over = asyncio.Event()
        self._missed = 0
        self._verdict: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no camera needs it."""
        return not self.cameras and not self.leaving

    @property
    def pid(self) -> int | None:
        """Of the worker that runs now."""
        return self._process.pid if self._process else None

    @property
    def recent_crashes(self) -> int:
        """How often it died of late."""
        return sum(time.monotonic() - each < CRASHES_S for each in self.crashes)

    def start(self) -> None:
        """Keep a worker running from now on."""
        self._task = asyncio.create_task(self._run(), name=f"worker-{self.number}")

    def give(self, camera: Camera) -> None:
        """Have a camera read, or read otherwise."""
        self.cameras[camera.name] = camera
        self.leaving.pop(camera.name, None)
        self._post({"run": msgspec.to_builtins(camera)})

    def take(self, name: str, reason: str) -> None:
        """Have a camera left; the worker says `left` once its spool is empty."""
        self.cameras.pop(name, None)
        self.leaving[name] = reason
        self._post({"leave": name, "reason": reason})

    def drain(self, name: str) -> None:
        """Have a spool emptied whose camera nobody wants."""
        self.leaving[name] = "removed"
        self._post(_drained(name))

    def push(self, handover: Handover, sender: socket.socket) -> None:
        """Hand a connection over; it is the slot's from now on, unless this raises UnavailableError."""
        if self._outbox is None:
            raise UnavailableError("segmenter", f"the worker of camera {handover.camera!r} is starting")
        self._outbox.post({"push": msgspec.to_builtins(handover), "handed": True}, sender)

    async def end(self, *, grace_s: float) -> None:
        """Have it upload what is open and end; after *grace_s* it is killed."""
        self._over.set()
        self._post({"drain": True})
        if self._task is None:
            return
        done, _ = await asyncio.wait({self._task}, timeout=grace_s)
        if not done:
            log.warning("worker %s did not end in %.1f s", self.pid, grace_s)
            self._kill()
            done, _ = await asyncio.wait({self._task}, timeout=KILL_S)
        if not done:
            self._task.cancel()

    async def _run(self) -> None:
        while not self._over.is_set():
            self._verdict = None
            try:
                await self._live()
            except Exception as error:  # whatever it was, sixteen cameras wait for a worker
                log.exception("worker %d", self.number)
                self._verdict = f"{type(error).__name__}: {error}"
            if self._over.is_set():
                return
            self.crashes.append(time.monotonic())
            log.error("worker %d, of %d cameras: %s", self.number, len(self.cameras), self._verdict)
            self._died(self, self._verdict or "it ended")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), pause_s(self.recent_crashes))

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, str(theirs.fileno()), pass_fds=[theirs.fileno()]
                )
            process, self._outbox = self._process, Outbox(ours)
            self._post_all()
            aside = [asyncio.create_task(each) for each in (self._outbox.send(), self._watch())]
            try:
                await self._listen(ours)
            finally:
                for task in aside:
                    task.cancel()
                await asyncio.gather(*aside, return_exceptions=True)
                self._outbox.close()
                self._outbox = None
                ours.close()
                await self._buried(process)

    def _post_all(self) -> None:
        if self._over.is_set():  # told to end while it was starting
            self._post({"drain": True})
            return
        for camera in self.cameras.values():
            self._post({"run": msgspec.to_builtins(camera)})
        for name in self.leaving:
            self._post(_drained(name))

    async def _buried(self, process: asyncio.subprocess.Process) -> None:
        try:
            status = await asyncio.wait_for(process.wait(), KILL_S)
        except TimeoutError:
            self._kill()
            status = await process.wait()
        self._process = None
        reason = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
        self._verdict = self._verdict or reason

    async def _watch(self) -> None:
        """Looks, not seconds: when this process was held up, the worker was not silent."""
        self._missed = -(START_TIMES - 1) * _LOOKS
        while self._missed <= _LOOKS:
            await asyncio.sleep(self._silent_s / _LOOKS)
            self._missed += 1
        self._verdict = f"it hangs: no report for {self._silent_s:g} s"
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _listen(self, wire: socket.socket) -> None:
        loop, held = asyncio.get_running_loop(), b""
        while len(held) <= MOST_BYTES:
            try:
                piece = await loop.sock_recv(wire, _PIECE)
            except ConnectionResetError:
                return
            if not piece:
                return
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, message: Message) -> None:
        if "report" in message:
            self._missed = 0
            self.reports = {each["camera"]: each for each in message["report"]}
            return
        if "left" in message:
            self.leaving.pop(message["left"], None)
            self.reports.pop(message["left"], None)
        try:
            self._told(self, message)
        except Exception:  # what one worker says must not end it
            log.exception("worker %d said %.200s", self.number, message)

    def _post(self, message: Message) -> None:
        """A worker that is gone gets everything anew when it is back."""
        if self._outbox is not None:
            self._outbox.post(message)


def _drained(name: str) -> Message:
    return {"run": msgspec.to_builtins(Camera(name=name, paused=True)), "leave": True}
