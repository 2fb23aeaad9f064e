"""Reads one camera for ever, in a thread of its own: connect, cut, and connect again."""

import dataclasses
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from segmenter.conversion import converted
from segmenter.cutter import CutChunk, Cutter
from segmenter.report import CameraReport
from segmenter.source import Connection, Source, SourceError
from segmenter.tracks import SourceTracks
from sluice.errors import UnusableInputError

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 15.0
AWAITED_WAIT_S: Final = 0.05
"""Of a source that waits for its camera by itself: the camera decides when it comes again."""
UNPREPARED: Final = ("unreachable", "unresolvable")
"""What keeps such a source itself from waiting, as a port that is taken."""
STEADY_S: Final = 10.0
"""A connection that lived this long was a good one: what ends it is no reason to wait longer than at first."""
BLOCKED_S: Final = 0.002
"""A packet that took longer was waited for: everything that had gathered is read."""

MOST_GATHERED: Final = 192 << 10
"""Bytes. What a socket does not take stays in the camera, and one with little room drops pictures."""

log = logging.getLogger("segmenter.reader")


class Sink(Protocol):
    """Whom the reader tells."""

    def cut(self, chunks: list[CutChunk]) -> None:
        """Chunks are complete; called with the reader's lock held, so in order."""
        ...

    def lost(self, error: SourceError) -> None:
        """There is no connection (any longer)."""
        ...


class Waits:
    """How long to wait before the next attempt: longer and longer, half of it chance."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter, self._failures = jitter, 0

    def after(self, lived_s: float) -> float:
        """The wait after a connection that lived so long."""
        self._failures = 0 if lived_s >= STEADY_S else self._failures
        longest_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * (1 << min(self._failures, 10)))
        self._failures += 1
        # The cameras of a switch that was restarted must not all come in the same moment.
        return longest_s * (1 + self._jitter()) / 2


class Reader:
    """start() once, stop() once; whoever stops it does not wait for a library that hangs in a read."""

    def __init__(
        self,
        source: Source,
        cutter: Cutter,
        sink: Sink,
        report: CameraReport,
        *,
        audio: bool = True,
        now: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        """*pause* waits so many seconds, or until the event is set."""
        self._source, self._cutter, self._sink, self._report = source, cutter, sink, report
        self._audio, self._now, self._waits, self._pause = audio, now, Waits(jitter), pause
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._since: float | None = None  # when the connection was made
        # Of the connections before, and the one that counts now: replaced as a whole, as others read it.
        self._counted: tuple[Counter[str], object] = (Counter(), None)
        # A daemon: the process ends although a read may hang in a library.
        self._thread = threading.Thread(target=self._run, name=f"read-{report.camera}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Cut the open chunk and take nothing more; the thread ends as soon as the library lets it."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self._close_chunk()
        self._source.interrupt()

    @property
    def counts(self) -> Counter[str]:
        """What its source and its connections have counted, by the fields of a CameraReport."""
        return self._of_connections() + _counts_of(self._source)

    def _of_connections(self) -> Counter[str]:
        before, connection = self._counted
        return before + _counts_of(connection)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._since = None
            try:
                self._connect_and_read()
                error = SourceError("ended", "the source ended the stream")
            except SourceError as found:
                error = found
            except UnusableInputError as found:
                error = SourceError("unsupported", str(found))
            except Exception as found:  # a bug that one camera shows must not end its thread for good
                log.exception("camera %s", self._report.camera)
                error = SourceError("garbage", f"{type(found).__name__}: {found}")
            error.__traceback__ = None  # it would keep the connection, with all that it has read, until the next error
            with self._lock:
                if self._stopped.is_set():
                    return
                self._close_chunk()
                self._sink.lost(error)
            if error.final:
                return
            lived_s = 0.0 if self._since is None else self._now() - self._since
            wait_s = self._waits.after(lived_s)
            awaited = getattr(self._source, "awaits_its_camera", False) and error.reason not in UNPREPARED
            self._pause(self._stopped, AWAITED_WAIT_S if awaited else wait_s)

    def _close_chunk(self) -> None:
        try:
            self._sink.cut(self._cutter.end())
        except Exception:  # a chunk that cannot be written is lost, and nothing else
            log.exception("camera %s: its last chunk", self._report.camera)

    def _connect_and_read(self) -> None:
        connection = self._source.open()
        try:
            connection = converted(connection, audio=self._audio)
            self._counted = (self._counted[0], connection)
            tracks = SourceTracks(connection.container, self._report.camera)
            with self._lock:
                if self._stopped.is_set():
                    return
                self._since = self._now()
                self._report.connections += 1
                self._report.transcoding = connection.transcoding
                self._sink.cut(self._cutter.connect(tracks, segmented=getattr(connection, "segmented", False)))
            self._read(connection)
        finally:
            self._counted = (self._of_connections(), None)
            connection.close()

    def _read(self, connection: Connection) -> None:
        gather_s, now, report, lock = connection.gather_s, self._now, self._report, self._lock
        packets, cutter = iter(connection.packets()), self._cutter
        since = asked = now()
        before = report.bytes
        for packet in packets:
            received = now()
            with lock:
                if self._stopped.is_set():
                    return
                report.packets += 1
                report.bytes += packet.size
                chunks = cutter.add(packet, received)
                if chunks:
                    self._sink.cut(chunks)
            if gather_s and received - asked > BLOCKED_S:
                # Wall time is the least delay of many packets, and this one was waited for: the clock loses nothing.
                self._pause(self._stopped, gathering_s(gather_s, report.bytes - before, received - since))
                since, before = received, report.bytes
            asked = now()


def gathering_s(most_s: float, size_bytes: int, lasted_s: float) -> float:
    """How long packets may gather, of which so many bytes came in so long."""
    return min(most_s, MOST_GATHERED * lasted_s / size_bytes) if size_bytes else most_s


def _counts_of(counting: object) -> Counter[str]:
    """What it has counted, if it counts."""
    counts = getattr(counting, "counts", None) or {}
    return Counter(counts if isinstance(counts, dict) else dataclasses.asdict(counts))
