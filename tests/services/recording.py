"""What the store and NATS hold of a camera's recording, and pushes whose every byte the test decides on."""

import json
import math
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from sluice import names
from sluice.names import CHUNKS, ChunkName, parse_chunk_key
from sluice.store import S3Store
from sluice.topology import CHUNKS as EVENTS
from sluice.topology import Consumer
from tests.chunks import check_order
from tests.services.prepared import PreparedServers
from tests.services.segmenter import PUSH_KEY, SegmenterProcess

PATTERN = "test://?size=320x180&fps=25&gop=25&bf=0&codec=h264"
"""A camera that nobody has to serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of a camera: the noun and verb of its type, and its data."""

    what: str
    data: dict[str, Any]

    @property
    def reason(self) -> str:
        """Why, of offline and dropped."""
        return str(self.data.get("reason", ""))


def told(prepared: PreparedServers, camera: str) -> list[Told]:
    """Every event of a camera that is no chunk's, in order."""
    found = list[Told]()
    name = f"reader-{time.monotonic_ns()}"
    reader = Consumer(stream=EVENTS.name, name=name, filter_subject=names.subject("cameras", camera), inactive_s=60)
    with prepared.bus("admin") as bus:
        bus.ensure([], [reader], [])
        subscription = bus.subscribe(reader)
        while fetched := subscription.fetch(200, wait_s=0.3):
            for message in fetched:
                headers = {key.lower(): value for key, value in message.headers.items()}
                what = headers["ce-type"].removeprefix("dev.sluice.").removesuffix(".v1")
                found.append(Told(what=what, data=json.loads(message.payload)))
                message.ack()
    return found


def offline_reasons(prepared: PreparedServers, camera: str) -> list[str]:
    """Of each camera.offline, in order."""
    return [each.reason for each in told(prepared, camera) if each.what == "camera.offline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A chunk's name, and when the store had it, Unix milliseconds."""

    name: ChunkName
    stored_ms: float


def recorded(store: S3Store, camera: str) -> list[Recorded]:
    """The chunks of a camera, as they sort."""
    return [
        Recorded(name=parse_chunk_key(each.key), stored_ms=each.modified.timestamp() * 1000)
        for each in store.list(f"{CHUNKS}{camera}/")
    ]


class Witness:
    """Puts an object again and again: how long the store itself keeps everybody waiting, whoever asks."""

    def __init__(self, store: S3Store) -> None:
        self._store, self._ended = store, threading.Event()
        self._puts: list[tuple[float, float]] = []
        """When each began and ended, Unix milliseconds; one on its way ends at infinity."""
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def longest_ms(self, from_ms: float, to_ms: float) -> float:
        """Of the puts that were on their way at any time of these."""
        now_ms = time.time() * 1000
        return max(
            (min(ended, now_ms) - began for began, ended in self._puts if began <= to_ms and ended >= from_ms),
            default=0.0,
        )

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            began = time.time() * 1000
            self._puts.append((began, math.inf))
            self._store.put("state/witness", b"")
            self._puts[-1] = (began, time.time() * 1000)


def assert_undisturbed(store: S3Store, camera: str, *, chunk_s: float, until_ms: float, witness: Witness) -> None:
    """One session without a gap, and no moment at which its newest chunk was as old as two.

    It may be older by as much as the store kept the witness waiting as well.
    """
    found = recorded(store, camera)
    assert found, f"{camera}: no chunks"
    check_order([each.name for each in found])
    assert {each.name.session for each in found} == {found[0].name.session}, f"{camera}: a new session"
    assert found[-1].name.end_ms >= until_ms - 2000 * chunk_s, f"{camera}: it ended at {found[-1].name.key}"
    for before, after in pairwise(found):
        gap_ms = after.name.start_ms - before.name.end_ms
        age_ms = after.stored_ms - before.name.end_ms
        assert gap_ms == 0, f"{after.name.key}: {gap_ms} ms after the chunk before"
        at_most_ms = 2000 * chunk_s + witness.longest_ms(before.name.end_ms, after.stored_ms)
        assert age_ms < at_most_ms, f"{after.name.key}: stored when the one before was {age_ms:.0f} ms old"


def assert_gapless(chunks: Iterable[ChunkName], *, within_ms: int = 0) -> None:
    """Each begins where the one before ended."""
    for before, after in pairwise(chunks):
        gap_ms = after.start_ms - before.end_ms
        assert 0 <= gap_ms <= within_ms, f"{after.key}: {gap_ms} ms after {before.stem}"


class Push:
    """A body of bytes, each at its time, in a thread."""

    def __init__(self, process: SegmenterProcess, camera: str, plan: Iterable[tuple[float, bytes]]) -> None:
        """*plan*: seconds since the start, and what is sent then."""
        self.camera = camera
        self.began_ms = 0.0
        """When its first bytes were sent, Unix milliseconds."""
        self._port, self._plan = process.port, plan
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def join(self, *, within_s: float) -> None:
        """Wait for its end."""
        self._thread.join(within_s)
        assert not self._thread.is_alive(), f"the push of {self.camera} has not ended"

    def stop(self) -> None:
        """End it in the middle."""
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as sock:
            head = f"PUT /ingest/{self.camera} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {PUSH_KEY}\r\n"
            sock.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
            began = time.monotonic()
            self.began_ms = time.time() * 1000
            for at_s, data in self._plan:
                if self._over.wait(max(0.0, began + at_s - time.monotonic())):
                    return
                sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))
            sock.sendall(b"0\r\n\r\n")
            while sock.recv(1 << 12):  # the answer; it is there when all was read
                pass
