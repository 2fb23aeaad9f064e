"""The process that knows every camera: it reads none, so nothing that a camera sends can end it."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from segmenter.fleet.fleet import Fleet
from segmenter.fleet.herald import Herald
from segmenter.fleet.pages import PROMETHEUS, cameras_page, metrics_page
from segmenter.fleet.roster import Roster
from segmenter.fleet.wire import Message
from segmenter.ingest.front import Front, Page
from segmenter.ingest.guesses import Guesses
from segmenter.ingest.handover import Handover
from segmenter.ingest.rtmp import RtmpFront
from segmenter.report import CONNECTING, OFFLINE, ONLINE
from segmenter.settings import SegmenterSettings
from segmenter.timeline import Clock
from sluice.bus import Bus
from sluice.cameras import key_fits
from sluice.contracts.camera import Camera, CameraOffline, CameraOnline, ChunksDropped
from sluice.errors import SettingsError, UnavailableError
from sluice.store import ObjectStore

KNOWN: Final = {each.TYPE: each for each in (CameraOnline, CameraOffline, ChunksDropped)}
_JSON: Final = "application/json"
_NOBODY: Final = Camera(name="nobody")
GRACE_S: Final = 0.5
"""For a worker to end when its time to drain is over; then it is killed, and its spool keeps what is left."""
PUBLISH_S: Final = 0.5
"""For the last events."""

log = logging.getLogger("segmenter.supervisor")


class Supervisor:
    """run() until a signal."""

    def __init__(self, settings: SegmenterSettings, store: ObjectStore, bus: Bus) -> None:
        self._settings = settings
        self._clock = Clock()
        self._clock_steps = 0
        self._herald = Herald(bus)
        self._fleet = Fleet(cameras_a_worker=settings.cameras_a_worker, told=self._told, died=self._died)
        self._spools = Path(settings.spool)
        self._wanted: asyncio.Queue[Mapping[str, Camera]] = asyncio.Queue()
        self._cameras: Mapping[str, Camera] = {}
        self._loop = asyncio.get_running_loop()
        self._roster = Roster(
            store,
            bus,
            cache=self._spools / "cameras.json",
            refresh_s=settings.refresh_s,
            changed=lambda cameras: self._from_thread(lambda: self._wanted.put_nowait(cameras)),
        )
        door: dict[str, Any] = {"host": settings.host, "admit": self._admit, "hand_over": self._hand_over}
        door["guesses"] = Guesses()
        self._fronts: list[Any] = [Front(port=settings.port, pages=self._pages(), **door)]
        if settings.rtmp_port:
            self._fronts.append(RtmpFront(port=settings.rtmp_port, **door))

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; raises SettingsError when it cannot begin."""
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, ending.set)
        self._make_spools()
        for front in self._fronts:
            await _opened(front)
        self._roster.start()
        following = asyncio.create_task(self._follow())
        await ending.wait()
        log.info("ending: open chunks are uploaded")
        self._roster.end()
        following.cancel()
        await self._end()

    async def _end(self) -> None:
        """Whatever hangs: nothing that fails here keeps the rest from ending, and nothing waits without a bound."""
        steps = (
            *(front.close() for front in self._fronts[1:]),
            self._fleet.end(grace_s=self._settings.drain_s + GRACE_S),
            asyncio.to_thread(self._herald.end, timeout_s=PUBLISH_S),
            self._fronts[0].close(),  # the last: health and metrics answer while workers upload
        )
        for step in steps:
            try:
                await step
            except Exception:  # it is the end either way
                log.exception("ending")

    def _make_spools(self) -> None:
        try:
            self._spools.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError((f"SLUICE_SPOOL: expected a folder to write to, found {error}",)) from error

    async def _follow(self) -> None:
        first = True
        while True:
            self._cameras = await self._wanted.get()
            try:
                self._fleet.apply(self._cameras)
                for name in self._left_behind() if first else ():
                    self._fleet.leave_behind(name)
            except Exception:  # the next change must not find nobody who follows it
                log.exception("cameras are not followed")
            first = False

    def _left_behind(self) -> list[str]:
        """Cameras that were removed while their chunks could not be uploaded, or while nobody was there."""
        held = {path.parent.name for path in self._spools.glob("*/owner")}
        return sorted(held - set(self._cameras))

    def _admit(self, name: str, key: str) -> bool:
        """Whether *key* lets this camera push; as slow for a camera that does not exist."""
        return key_fits(self._cameras.get(name, _NOBODY), key)

    def _hand_over(self, handover: Handover, sender: socket.socket) -> None:
        camera = self._cameras.get(handover.camera)
        if camera is None or camera.paused:
            raise UnavailableError("segmenter", f"camera {handover.camera!r} is paused")
        self._fleet.push(handover, sender)

    def _told(self, message: Message) -> None:
        if "event" in message:
            self._herald.tell(msgspec.convert(message["data"], KNOWN[message["event"]], strict=False))
        elif "stepped" in message:
            self._clock_steps += 1

    def _died(self, report: Mapping[str, Any], reason: str) -> None:
        if report.get("state") in (ONLINE, CONNECTING):
            at, camera = datetime.now(UTC), str(report["camera"])
            self._herald.tell(CameraOffline(camera=camera, at=at, reason="worker-died", detail=reason))

    def _from_thread(self, call: Callable[[], Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call)

    def _pages(self) -> dict[str, Callable[[], Page]]:
        return {
            "/health/liveness": lambda: Page(body=b"alive\n"),
            "/health/readiness": self._readiness,
            "/cameras": lambda: Page(
                content_type=_JSON, body=cameras_page(self._reports(), now_ms=self._clock.wall_ms())
            ),
            "/metrics": lambda: Page(content_type=PROMETHEUS, body=self._metrics()),
        }

    def _readiness(self) -> Page:
        if not self._roster.is_known:
            return Page(status=503, body=b"cameras are not known yet: neither the store nor NATS answers\n")
        # Not unready: chunks go on in the time that the process began with.
        return Page(body=b"ready; clock-stepped\n" if self._clock_steps else b"ready\n")

    def _reports(self) -> list[Mapping[str, Any]]:
        """Of every camera that is configured, also of one that no worker has spoken of yet."""
        said = {str(each["camera"]): each for each in self._fleet.reports()}
        broken = {
            name: {"camera": name, "state": OFFLINE, "reason": "unsupported", "detail": why}
            for name, why in self._roster.problems.items()
        }
        starting = {name: {"camera": name, "state": CONNECTING} for name in self._cameras}
        return list({**broken, **starting, **said}.values())

    def _metrics(self) -> bytes:
        return metrics_page(
            self._reports(),
            self._fleet.workers(),
            now_ms=self._clock.wall_ms(),
            events_lost=self._herald.lost,
            clock_steps=self._clock_steps,
        )


async def _opened(front: Any) -> None:
    try:
        await front.open()
    except OSError as error:
        raise SettingsError((f"cannot listen: {error}",)) from error
