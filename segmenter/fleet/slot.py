"""A place for a worker process, as the supervisor sees it: started again whenever it ends, with the same cameras."""

import asyncio
import json
import logging
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from segmenter.fleet.wire import MOST_BYTES, Message, encoded
from segmenter.ingest.handover import Handover
from sluice.contracts.camera import Camera
from sluice.errors import UnavailableError

CRASHES_S: Final = 60.0
"""Crashes within as long are the same trouble."""
LONGEST_WAIT_S: Final = 10.0
KILL_S: Final = 1.0
_PIECE: Final = 1 << 16

log = logging.getLogger("segmenter.slot")


class Slot:
    """run() for ever in a task; the other calls come from the same loop."""

    def __init__(
        self, number: int, *, told: Callable[["Slot", Message], None], died: Callable[["Slot", str], None]
    ) -> None:
        """*told* gets what the worker says, *died* the reason when it ended unasked."""
        self.number = number
        self.cameras: dict[str, Camera] = {}
        self.leaving: dict[str, str] = {}
        """Cameras whose spool is drained, and why they left."""
        self.reports: dict[str, dict[str, Any]] = {}
        self.crashes: deque[float] = deque(maxlen=10)
        self._told, self._died = told, died
        self._process: asyncio.subprocess.Process | None = None
        self._wire: socket.socket | None = None
        self._sending = asyncio.Lock()
        self._ending = False

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

    async def run(self) -> None:
        """Keep a worker running until end()."""
        while not self._ending:
            await self._live()
            if self._ending:
                return
            crashes = self.recent_crashes
            # At once the first time: sixteen cameras wait.
            await asyncio.sleep(0.0 if crashes <= 1 else min(LONGEST_WAIT_S, 0.25 * 2**crashes))

    async def give(self, camera: Camera) -> None:
        """Have a camera read, or read otherwise."""
        self.cameras[camera.name] = camera
        self.leaving.pop(camera.name, None)
        await self._send({"run": msgspec.to_builtins(camera)})

    async def take(self, name: str, reason: str) -> None:
        """Have a camera left; it says `left` once its spool is empty."""
        self.cameras.pop(name, None)
        self.leaving[name] = reason
        await self._send({"leave": name, "reason": reason})

    async def push(self, handover: Handover, sender: socket.socket) -> None:
        """Hand a connection over; raises UnavailableError while no worker runs."""
        if self._wire is None:
            raise UnavailableError("segmenter", f"the worker of camera {handover.camera!r} is starting")
        await self._send({"push": msgspec.to_builtins(handover), "handed": True}, sender)

    async def end(self, *, grace_s: float) -> None:
        """Have it upload what is open and end; after *grace_s* it is killed."""
        self._ending = True
        await self._send({"drain": True})
        process = self._process
        if process is None:
            return
        try:
            await asyncio.wait_for(process.wait(), grace_s)
        except TimeoutError:
            log.warning("worker %d did not end in %.1f s", process.pid, grace_s)
            process.kill()
            await process.wait()

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "segmenter.fleet.worker", str(theirs.fileno()), pass_fds=[theirs.fileno()]
            )
        process, self._wire = self._process, ours
        try:
            for camera in list(self.cameras.values()):
                await self._send({"run": msgspec.to_builtins(camera)})
            for name in list(self.leaving):
                await self._send({"run": msgspec.to_builtins(Camera(name=name, paused=True)), "leave": True})
            await self._listen(ours)
        finally:
            self._wire = None
            ours.close()
            await self._buried(process)

    async def _buried(self, process: asyncio.subprocess.Process) -> None:
        try:
            status = await asyncio.wait_for(process.wait(), KILL_S if not self._ending else None)
        except TimeoutError:
            process.kill()
            status = await process.wait()
        self._process = None
        if not self._ending:
            self.crashes.append(time.monotonic())
            reason = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
            log.error("worker %d, of %d cameras: %s", process.pid, len(self.cameras), reason)
            self._died(self, reason)

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
                message: Message = json.loads(line)
                if "report" in message:
                    self.reports = {each["camera"]: each for each in message["report"]}
                elif "left" in message:
                    self.leaving.pop(message["left"], None)
                    self.reports.pop(message["left"], None)
                else:
                    self._told(self, message)

    async def _send(self, message: Message, handed: socket.socket | None = None) -> None:
        """A worker that is gone gets everything anew when it is back."""
        async with self._sending:
            if self._wire is None:
                return
            line, sent = encoded(message), 0
            try:
                while handed is not None and not sent:
                    try:
                        sent = socket.send_fds(self._wire, [line], [handed.fileno()])
                    except BlockingIOError:
                        await asyncio.sleep(0.01)
                await asyncio.get_running_loop().sock_sendall(self._wire, line[sent:])
            except OSError as error:
                log.warning("worker %s takes nothing: %s", self.pid, error)
