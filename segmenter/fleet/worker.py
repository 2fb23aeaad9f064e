"""A worker process: at most 16 cameras, told by the supervisor over one Unix socket what to do.

`python -m segmenter.fleet.worker FD`; it ends when it is told to, and when the supervisor is gone.
"""

import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from segmenter import heap
from segmenter.fleet.channel import Channel, Services
from segmenter.fleet.uploads import Uploads
from segmenter.fleet.wire import Inbox, Message, send
from segmenter.ingest.handover import Handover
from segmenter.settings import SegmenterSettings
from segmenter.sources.factory import source_of
from segmenter.spool import Limits
from segmenter.timeline import Clock
from sluice import telemetry
from sluice.contracts.camera import Camera
from sluice.errors import SettingsError, UnavailableError
from sluice.settings import StoreSettings, load_all
from sluice.store import S3Store

TICK_S: Final = 1.0
MOST_MEMORY: Final = 3 << 29
"""A few bytes of a camera can have the library allocate gigabytes; refused, that costs the camera alone. Sixteen
cameras need 0.2 GB, or 0.8 when all are transcoded; the stacks of their threads count in full."""
CLOSE_S: Final = 1.5
"""When the last chunk is up: a session's end is worth no more."""
LEAST_S: Final = 0.2
"""The same, where the last chunk took all the time there is."""

log = logging.getLogger("segmenter.worker")


class Worker:
    """The control thread: nothing here waits for a camera or for the store."""

    def __init__(self, wire: socket.socket, services: Services, *, drain_s: float) -> None:
        self._wire, self._services, self._drain_s = wire, services, drain_s
        self._sending = threading.Lock()
        self._channels: dict[str, Channel] = {}
        self._waiting: dict[str, tuple[Camera, bool]] = {}
        """Their spool is still held by another process; and whether they leave once it is empty."""
        self._leaving: set[str] = set()

    def run(self) -> None:
        """Serve until told to drain; the wire's timeout is the tick."""
        inbox, ticked_s = Inbox(self._wire), time.monotonic()
        while True:
            try:
                received = inbox.receive(timeout_s=TICK_S)
            except TimeoutError:
                received = ({}, None)
            if received is None or "drain" in received[0]:
                break
            self._safely(self._obey, *received)
            if time.monotonic() - ticked_s >= TICK_S:
                ticked_s = time.monotonic()
                self._safely(self._tick)
        self._drain()

    def tell(self, event: Any) -> None:
        """Hand an event to the supervisor; any thread."""
        self._send({"event": type(event).TYPE, "data": msgspec.to_builtins(event)})

    def _send(self, message: Message) -> None:
        try:
            with self._sending:
                send(self._wire, message)
        except OSError:
            log.warning("the supervisor is gone")

    def _safely(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception:  # a bug that one camera shows must not end the others
            log.exception("the worker goes on")

    def _obey(self, message: Message, handed: socket.socket | None) -> None:
        if "run" in message:
            self._run(msgspec.convert(message["run"], Camera), leave=message.get("leave", False))
        elif "leave" in message:
            self._leave(message["leave"], message.get("reason", "removed"))
        elif "push" in message and handed is not None:
            self._push(msgspec.convert(message["push"], Handover), handed)

    def _run(self, camera: Camera, *, leave: bool) -> None:
        self._leaving.discard(camera.name)
        self._waiting.pop(camera.name, None)
        channel = self._channels.get(camera.name)
        if channel is not None:
            channel.change(camera)
        else:
            try:
                channel = Channel(camera, self._services)
            except UnavailableError as error:
                log.warning("camera %s waits: %s", camera.name, error)
                self._waiting[camera.name] = (camera, leave)
                return
            self._channels[camera.name] = channel
            channel.start()
        if leave:
            self._leave(camera.name, "removed")

    def _leave(self, name: str, reason: str) -> None:
        if name in self._channels:
            self._channels[name].stop_reading(reason)
            self._leaving.add(name)
        elif name in self._waiting:
            self._waiting[name] = (Camera(name=name, paused=True), True)  # what the process before left is drained
        else:
            self._send({"left": name})

    def _push(self, handover: Handover, handed: socket.socket) -> None:
        channel = self._channels.get(handover.camera)
        offer = getattr(channel.source, "offer", None) if channel else None
        if offer is None:
            handed.close()  # paused or changed meanwhile; the camera comes again
            return
        offer(handover, handed)

    def _tick(self) -> None:
        for camera, leave in list(self._waiting.values()):
            self._run(camera, leave=leave)
        reports = [each.tick() for each in self._channels.values()]
        for each in reports:
            each.worker = os.getpid()
        self._send({"report": reports})
        step = self._services.clock.stepped_by()
        if step is not None:
            log.warning("clock-stepped: the machine's clock was set by %+.1f s; chunks go on as before", step)
            self._send({"stepped": step})
        for name in [each for each in self._leaving if self._channels[each].is_drained]:
            self._leaving.discard(name)
            threading.Thread(target=self._part, args=[name, self._channels.pop(name)], daemon=True).start()

    def _part(self, name: str, channel: Channel) -> None:
        """May wait for the store, so in a thread of its own."""
        try:
            channel.close(for_good=True)
        except Exception:  # its folder is free in any case
            log.exception("camera %s", name)
        self._send({"left": name})

    def _drain(self) -> None:
        deadline = time.monotonic() + self._drain_s
        channels = list(self._channels.values())
        for channel in channels:
            self._safely(channel.stop_reading, "stopped")
        while not all(each.is_drained for each in channels) and time.monotonic() < deadline:
            time.sleep(0.02)
        closing = [threading.Thread(target=each.close, daemon=True) for each in channels]
        for thread in closing:
            thread.start()
        closed = min(max(deadline, time.monotonic() + LEAST_S), time.monotonic() + CLOSE_S)
        for thread in closing:
            thread.join(max(0.0, closed - time.monotonic()))
        log.info("ended; %d chunks stay in the spools", sum(each.tick().spooled for each in channels))


def main(arguments: list[str]) -> int:
    """Build the services and serve."""
    heap.share_one()
    telemetry.log_lines("segmenter")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    try:
        settings, store = load_all(SegmenterSettings, StoreSettings)
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 (one sentence, not a stack)
        return 1
    wire = socket.socket(fileno=int(arguments[0]))
    wire.set_inheritable(False)  # a child that holds it would hide our end from the supervisor
    worker = _worker(wire, settings, store)
    worker.run()
    sys.stdout.flush()
    # Threads may hang in a library's read: nothing of theirs is of use any more.
    os._exit(0)


def _worker(wire: socket.socket, settings: SegmenterSettings, store: StoreSettings) -> Worker:
    services = Services(
        store=S3Store(store),
        uploads=Uploads(),
        clock=Clock(),
        spools=Path(settings.spool),
        limits=Limits(max_bytes=settings.spool_max_bytes, max_age_s=settings.spool_max_age_s),
        watch_s=settings.watch_s,
        takeover_s=settings.takeover_s,
        source_of=lambda camera: source_of(camera, silent_s=settings.silent_s),
        tell=lambda event: worker.tell(event),  # noqa: PLW0108 (the worker comes after)
    )
    worker = Worker(wire, services, drain_s=settings.drain_s)
    return worker


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
