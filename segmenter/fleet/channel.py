"""One camera in a worker: its reader, its spool, its uploader, and what is said of it."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from segmenter.cutter import CutChunk, Cutter
from segmenter.fleet.standby import SILENT_S, Standby
from segmenter.fleet.uploads import Uploads
from segmenter.numbering import FencedError
from segmenter.reader import Reader
from segmenter.report import CONNECTING, FENCED, OFFLINE, ONLINE, PAUSED, CameraReport
from segmenter.source import Source, SourceError
from segmenter.spool import Dropped, Limits, Spool
from segmenter.timeline import Clock
from segmenter.uploader import WATCH_S, Uploader
from sluice import telemetry
from sluice.contracts.camera import Camera, CameraOffline, CameraOnline, ChunksDropped
from sluice.errors import SluiceError, UnavailableError
from sluice.names import ChunkName
from sluice.store import ObjectStore

DROPS_S: Final = 10.0
"""Losses of as long are one event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the cameras of a worker share."""

    store: ObjectStore
    uploads: Uploads
    clock: Clock
    spools: Path
    limits: Limits
    source_of: Callable[[Camera], Source]
    tell: Callable[[Any], None]
    """Takes an event's data."""
    watch_s: float = WATCH_S
    """Between two looks whether another segmenter records a camera."""
    takeover_s: float = SILENT_S
    reader: Callable[..., Reader] = Reader


class Channel:
    """start() and change() from the control thread; leave() ends it once its spool is empty."""

    def __init__(self, camera: Camera, services: Services) -> None:
        self.camera = camera
        self.report = CameraReport(camera=camera.name)
        self.source: Source | None = None
        self._services = services
        self._cutter = Cutter(epoch_s=services.clock.epoch_s, target_s=camera.target_s)
        self._run = uuid.uuid4().hex
        self._control = threading.RLock()  # upload threads fence, the control thread commands
        self._reader: Reader | None = None
        self._counted: Counter[str] = Counter()  # by the readers before
        self._fenced = False
        self._leaving = False
        self._standby = Standby(services.store, camera.name, silent_s=services.takeover_s)
        self._losses = threading.Lock()  # of readers, upload threads and the control thread
        self._drops: Counter[str] = Counter()
        self._dropped_bytes: Counter[str] = Counter()
        self._told_s = float("-inf")
        # Raises UnavailableError while the process before still holds the folder.
        self._spool = Spool(services.spools / camera.name, limits=services.limits, dropped=self._lost_chunk)
        self._uploader = Uploader(
            services.store, self._spool, camera=camera.name, stored=self._stored, watch_s=services.watch_s
        )

    def start(self) -> None:
        """Read, unless it is paused, and upload what the spool holds."""
        self._services.uploads.add(self.camera.name, self)
        with self._control:
            self._read()

    def change(self, camera: Camera) -> None:
        """Follow its configuration; only what touches the source interrupts it."""
        with self._control:
            before, self.camera = self.camera, camera
            self._leaving = False
            self._cutter.target_s = camera.target_s
            if _of_source(before) != _of_source(camera):
                self._stop_reading("paused" if camera.paused else "stopped")
            if self._reader is None:
                self._read()

    def stop_reading(self, reason: str) -> None:
        """Cut the open chunk and take nothing more, until change()."""
        with self._control:
            self._leaving = True
            self._stop_reading(reason)

    def step(self) -> float | None:
        """Of the upload threads."""
        if self._fenced:
            return self._stand_by()
        try:
            return self._uploader.step()
        except FencedError as error:
            self._fence(error)
            return self._services.watch_s

    @property
    def is_drained(self) -> bool:
        """Whether the store has everything, or never will."""
        return not len(self._spool) or self._fenced

    def close(self, *, for_good: bool = False) -> None:
        """End the session and give the spool back; the reader is stopped. May wait for the store."""
        self._services.uploads.remove(self.camera.name)
        try:
            with suppress(SluiceError):  # the next session finds out by listing
                self._uploader.end_session()
            self._tell_drops()
        finally:
            self._spool.close(for_good=for_good)

    def tick(self) -> CameraReport:
        """Each second: what there is to say now."""
        report, counts = self.report, self._cutter.counts
        report.spooled, report.spool_bytes = len(self._spool), self._spool.size_bytes
        report.trouble = self._uploader.trouble
        report.drift_ms = round(self._cutter.error_s * 1000)
        report.repaired, report.sound_dropped = counts.repaired, counts.sound_dropped
        report.frames_dropped, report.frames_waiting = counts.dropped + counts.unwritable, counts.waiting
        with self._control:
            for name, count in (self._counted + (self._reader.counts if self._reader else Counter())).items():
                setattr(report, name, count)
        if time.monotonic() >= self._told_s + DROPS_S:
            self._tell_drops()
        return report

    def cut(self, chunks: list[CutChunk]) -> None:
        """Of the reader: keep chunks, on disk before they count."""
        for each in chunks:
            self._note(each)
            cut = each.spoolable(camera=self.camera.name, run=self._run, traceparent=telemetry.traceparent())
            try:
                self._spool.add(cut)
            except (UnavailableError, FileNotFoundError):  # or somebody has removed the folder
                self._lost_chunk(Dropped(reason="disk-error", size_bytes=len(cut.body)))
        if chunks:
            self._services.uploads.wake(self.camera.name)

    def lost(self, error: SourceError) -> None:
        """Of the reader: there is no connection."""
        self._offline(OFFLINE, error.reason, error.detail)

    def _read(self) -> None:
        if self._leaving:
            return
        if self.camera.paused or self._fenced:
            self.report.state = FENCED if self._fenced else PAUSED
            return
        self.report.state, self.report.reason, self.report.detail = CONNECTING, "", ""
        self.source = self._services.source_of(self.camera)
        self._reader = self._services.reader(self.source, self._cutter, self, self.report, audio=self.camera.audio)
        self._reader.start()

    def _stop_reading(self, reason: str) -> None:
        reader, self._reader, self.source = self._reader, None, None
        if reader is not None:
            reader.stop()
            self._counted += reader.counts
            self._offline(PAUSED if reason == "paused" else OFFLINE, reason, "")

    def _note(self, each: CutChunk) -> None:
        report, chunk = self.report, each.chunk
        report.chunks += 1
        report.codec, report.width, report.height = chunk.codec, chunk.width, chunk.height
        report.fps, report.bitrate, report.audio_dropped = chunk.fps, chunk.bitrate, chunk.audio_dropped
        report.held_ms, report.sessions = each.held_ms, each.session
        if report.state != ONLINE:
            report.state, report.reason, report.detail = ONLINE, "", ""
            _, _, audio = chunk.codec.partition(",")
            self._services.tell(
                CameraOnline(
                    camera=report.camera,
                    at=datetime.fromtimestamp(each.start_ms / 1000, UTC),
                    codec=chunk.codec,
                    width=chunk.width,
                    height=chunk.height,
                    audio=audio.strip() or None,
                    transcoding=report.transcoding,
                )
            )

    def _offline(self, state: str, reason: str, detail: str) -> None:
        report = self.report
        told = report.state == state and report.reason == reason
        report.state, report.reason, report.detail = state, reason, detail
        if not told:
            at = datetime.now(UTC)
            self._services.tell(CameraOffline(camera=report.camera, at=at, reason=reason, detail=detail))

    def _stored(self, name: ChunkName) -> None:
        self.report.stored += 1
        self.report.last_chunk_ms = name.end_ms

    def _lost_chunk(self, dropped: Dropped) -> None:
        with self._losses:
            before = self.report.dropped
            # Another dictionary: the control thread may be going through the one before.
            self.report.dropped = {**before, dropped.reason: before.get(dropped.reason, 0) + 1}
            self._drops[dropped.reason] += 1
            self._dropped_bytes[dropped.reason] += dropped.size_bytes

    def _tell_drops(self) -> None:
        with self._losses:
            drops, sizes = self._drops, self._dropped_bytes
            self._drops, self._dropped_bytes = Counter(), Counter()
        if drops:
            self._told_s = time.monotonic()
        at, name = datetime.now(UTC), self.camera.name
        for reason, chunks in drops.items():
            lost = ChunksDropped(camera=name, at=at, reason=reason, chunks=chunks, size_bytes=sizes[reason])
            self._services.tell(lost)

    def _fence(self, error: FencedError) -> None:
        """Another segmenter records this camera: what we have is its time again, so it is thrown away."""
        with self._control:
            self._fenced = True
            self._stop_reading("fenced")
            self.report.state, self.report.detail = FENCED, str(error)
        self._spool.forget_unnamed("fenced")

    def _stand_by(self) -> float:
        try:
            free = self._standby.is_free()
        except UnavailableError:
            return self._services.watch_s
        if free:
            with self._control:
                self._fenced = False
                self._read()
            return 0.0
        return self._services.watch_s


def _of_source(camera: Camera) -> tuple[object, ...]:
    """What a reader is made from; a key that was changed lets nobody in who came with the one before."""
    return camera.source, camera.push_key, camera.audio, camera.paused
