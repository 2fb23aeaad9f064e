"""The segmenter as a process between real servers, with no more rights than it has in an installation."""

import json
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sluice import cameras
from sluice.contracts.camera import Camera
from sluice.local import program
from sluice.local.program import Program
from sluice.store import S3Store
from tests.services.line import eventually
from tests.services.prepared import BUCKET, PreparedServers, both_lanes, servers
from tests.services.server import RunningServer

ROOT = Path(__file__).parent.parent.parent
PUSH_KEY = "a-key-of-the-tests-0123456789abcdef"


class SegmenterProcess(RunningServer):
    """`python -m segmenter`; it keeps its ports and its spool when it is started again."""

    ready_s = 30
    grace_s = 15

    def __init__(self, prepared: PreparedServers, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.port, self.rtmp_port = program.free_port(), program.free_port()
        self.spool, self.log = folder / "spool", folder / "segmenter.log"
        self._servers = prepared
        self._administrator: S3Store | None = None
        environment = {
            **prepared.secrets.part("segmenter"),
            "SLUICE_S3_URL": prepared.minio.url,
            "SLUICE_S3_REGION": prepared.minio.region,
            "SLUICE_BUCKET": BUCKET,
            "SLUICE_NATS_URL": prepared.nats.url,
            "SLUICE_HOST": "127.0.0.1",
            "SLUICE_SPOOL": self.spool,
            "SLUICE_RTMP_PORT": self.rtmp_port,
            "PORT": self.port,
            "PYTHONPATH": ROOT,
            **(settings or {}),
        }
        self.spool.mkdir(parents=True)
        self._program = Program(
            name="segmenter",
            command=(sys.executable, "-m", "segmenter"),
            log=self.log,
            ready=self._is_ready,
            environment={name: str(value) for name, value in environment.items()},
        )

    @property
    def pid(self) -> int:
        """The front process."""
        assert self._process is not None, "the segmenter does not run"
        return self._process.pid

    @property
    def store(self) -> S3Store:
        """The bucket, as its administrator."""
        self._administrator = self._administrator or self._servers.store("admin")
        return self._administrator

    def get(self, path: str) -> bytes:
        """A page of its front."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            page: bytes = answer.read()
            return page

    def cameras(self) -> dict[str, dict[str, Any]]:
        """What it says of its cameras, by name."""
        return {each["camera"]: each for each in json.loads(self.get("/cameras"))}

    def metrics(self) -> dict[str, float]:
        """Its metrics, by name and labels."""
        lines = re.findall(r"^([a-z_]+(?:{.*})?) (\S+)$", self.get("/metrics").decode(), re.MULTILINE)
        return {name: float(value) for name, value in lines}

    def save(self, *wanted: Camera) -> None:
        """Write cameras as whoever administers them does."""
        with self._servers.bus("admin") as bus:
            for camera in wanted:
                warning = cameras.save(self.store, bus, camera)
                assert warning is None, warning

    def remove(self, *names: str) -> None:
        """Take cameras away; what they recorded stays."""
        with self._servers.bus("admin") as bus:
            for name in names:
                cameras.remove(self.store, bus, name)

    def chunks(self, camera: str) -> int:
        """How many the store has."""
        return sum(1 for _ in self.store.list(f"chunks/{camera}/"))

    def wait_for_chunks(self, wanted: Mapping[str, int], *, within_s: float = 60) -> None:
        """Return once each camera has as many in the store."""

        def missing() -> dict[str, Any]:
            short = {name: at_least for name, at_least in wanted.items() if self.chunks(name) < at_least}
            said = self.cameras() if short else {}
            return {name: said.get(name, {}).get("detail") or said.get(name, {}).get("state") for name in short}

        waits_for: dict[str, Any] = {}

        def have() -> bool:
            waits_for.clear()
            waits_for.update(missing())
            return not waits_for

        try:
            eventually("every camera has its chunks", have, within_s=within_s)
        except pytest.fail.Exception:
            pytest.fail(
                f"no {dict(wanted)} chunks within {within_s:g} s; {waits_for}\n{program.log_tail(self._program)}"
            )

    def until(self, what: str, holds: Callable[[dict[str, dict[str, Any]]], Any], *, within_s: float = 30) -> Any:
        """The first true answer of *holds* about its cameras, once it speaks of those that *holds* names."""

        def answer() -> Any:
            with suppress(KeyError):
                return holds(self.cameras())

        return eventually(what, answer, within_s=within_s)

    def _is_ready(self) -> bool:
        try:
            self.get("/health/readiness")
        except OSError:  # refused, or 503
            return False
        return True


def pulled(name: str, source: str, **changes: Any) -> Camera:
    """A camera that is pulled."""
    return Camera(name=name, source=source, **changes)


def pushing(name: str, **changes: Any) -> Camera:
    """A camera that pushes with PUSH_KEY."""
    return Camera(name=name, push_key=cameras.hashed_key(PUSH_KEY), **changes)


@contextmanager
def segmenter_servers(minio_binary: Path, folder: Path) -> Iterator[PreparedServers]:
    """Store and NATS, prepared as `sluice init` does."""
    with servers(minio_binary, folder, lanes=both_lanes) as both:
        both.prepare()
        yield both


@contextmanager
def segmenter_process(
    prepared: PreparedServers, folder: Path, settings: Mapping[str, object] | None = None
) -> Iterator[SegmenterProcess]:
    """A segmenter that runs until the end of the block."""
    process = SegmenterProcess(prepared, folder, settings)
    process.start()
    try:
        yield process
    finally:
        process.stop()
