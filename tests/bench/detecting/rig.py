"""Real servers and the served function, each pinned to its core, and the chunks they are given."""

import http.client
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sluice import events
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.inference import TritonDetector
from sluice.local import program, tools
from sluice.local.program import Program
from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program
from sluice.names import camera_key
from sluice.settings import DetectorSettings
from sluice.store import S3Store
from tests.builders import a_chunk_name, a_chunk_stored
from tests.services.line import ROOT
from tests.services.prepared import BUCKET, PreparedServers, both_lanes, servers
from tests.services.usage import family

FPS = 5.0
CHUNK_MS = 3000
FRAMES = 15
"""Sampled of one chunk."""
FUNCTION_CORE, TRITON_CORE = 0, 1
CLIP = "bikes.mp4"


def pinned(core: int, what: Program) -> Program:
    """The same on one core alone."""
    return replace(what, command=("taskset", "--cpu-list", str(core), *what.command))


def make_chunks(folder: Path, bit_rate: str) -> list[bytes]:
    """Three chunks of a street, 720p25, no B-frames: what a camera sends; and film.mp4 of all three."""
    clip = tools.find_data(CLIP)
    given = (
        ["-i", str(clip), "-vf", "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720"]
        if clip
        else ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25,noise=alls=12:allf=t,format=yuv420p"]
    )
    coded = "-an -r 25 -t 9 -c:v libx264 -preset veryfast -g 75 -bf 0 -sc_threshold 0"
    coded += f" -b:v {bit_rate} -maxrate {bit_rate} -bufsize {bit_rate}"
    parted = "-f segment -segment_time 3 -reset_timestamps 1 -segment_format_options"
    command = ["ffmpeg", "-v", "error", "-nostdin", *given, *coded.split(), *parted.split()]
    subprocess.run(
        [*command, "movflags=frag_keyframe+empty_moov+default_base_moof", "-y", str(folder / "%d.mp4")],
        check=True,
        timeout=120,
    )
    subprocess.run(
        [
            *f"ffmpeg -v error -nostdin -f concat -safe 0 -i {_list(folder)} -c copy -y".split(),
            str(folder / "film.mp4"),
        ],
        check=True,
        timeout=60,
    )
    return [path.read_bytes() for path in sorted(folder.glob("?.mp4"))]


def _list(folder: Path) -> Path:
    listed = folder / "list"
    listed.write_text("".join(f"file {path}\n" for path in sorted(folder.glob("?.mp4"))), "utf-8")
    return listed


@dataclass(kw_only=True)
class Rig:
    """All that the sides share."""

    servers: PreparedServers
    triton_url: str
    folder: Path
    bodies: list[bytes]
    store: S3Store
    triton_pid: int
    model_server_pid: int = 0
    functions: list[tuple[int, int]] = field(default_factory=list)
    """Port and pid of each instance."""
    _number: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def detector(self) -> TritonDetector:
        """A client of the pinned Triton."""
        return TritonDetector(DetectorSettings(url=self.triton_url))

    @contextmanager
    def on_both_cores(self) -> Iterator[None]:
        """The function's instances and Triton may use either core, until the end of the block."""
        functions = [pid for _, pid in self.functions]
        try:
            _allow({FUNCTION_CORE, TRITON_CORE}, *functions, self.triton_pid)
            yield
        finally:
            _allow({FUNCTION_CORE}, *functions)
            _allow({TRITON_CORE}, self.triton_pid)

    def put(self) -> tuple[dict[str, str], bytes]:
        """Put a chunk that no one has seen; the event that announces it."""
        n = next(self._number)
        now_ms = int(time.time() * 1000) + n
        told: dict[str, Any] = {"start_ms": now_ms, "duration_ms": CHUNK_MS, "seq": n, "activity": "active"}
        name = a_chunk_name("bench", **told)
        self.store.put(name.key, self.bodies[n % len(self.bodies)], content_type="video/mp4")
        return events.to_http(a_chunk_stored("bench", **told))

    def post(
        self, port: int, event: tuple[dict[str, str], bytes], link: http.client.HTTPConnection | None = None
    ) -> None:
        """Hand the function an event; it has to answer with its detections."""
        connection = link or http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.request("POST", "/", body=event[1], headers=event[0])
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, f"{answer.status}: {said[:300]!r}"
        assert "objects.detected" in str(answer.getheader("ce-type")), said[:300]


def _function(rig: Rig, port: int) -> Program:
    environment = {
        **rig.servers.secrets.part("detect"),
        "SLUICE_S3_URL": rig.servers.minio.url,
        "SLUICE_S3_REGION": rig.servers.minio.region,
        "SLUICE_BUCKET": BUCKET,
        "SLUICE_NATS_URL": rig.servers.nats.url,
        "SLUICE_TRITON_URL": rig.triton_url,
        "SLUICE_HOST": "127.0.0.1",
        "SLUICE_CONCURRENCY": "1",
        "SLUICE_DETECT_LATE_S": "0",
        "PORT": str(port),
        "PYTHONPATH": str(ROOT),
    }
    return Program(
        name=f"detect-{port}",
        command=(sys.executable, "-m", "sluice.serving", "functions.detect.app"),
        log=rig.folder / f"detect-{port}.log",
        ready=lambda: program.accepts_connections(port),
        environment=environment,
    )


@contextmanager
def rig(folder: Path, *, model: str, instances: int, bit_rate: str = "2M") -> Iterator[Rig]:
    """Start all of it."""
    minio, home = tools.find_minio(), tools.find_triton()
    if minio is None or home is None:
        sys.exit("minio or Triton is missing: run `make tools`")
    (folder / "clips").mkdir()
    bodies = make_chunks(folder / "clips", bit_rate)
    repository = folder / "models"
    if model in assemble(repository):
        sys.exit(f"{model} has no weights here: run `make tools`")
    ports = TritonPorts(http=program.free_port(), grpc=program.free_port(), metrics=program.free_port())
    with ExitStack() as stack:
        triton = triton_program(home=home, repository=repository, ports=ports, log=folder / "triton.log")
        stack.callback(forget_shared_memory, repository)
        triton_pid = _started(stack, pinned(TRITON_CORE, triton), within_s=90)
        both = stack.enter_context(servers(minio, folder, lanes=both_lanes))
        both.prepare()
        made = Rig(
            servers=both,
            triton_url=f"127.0.0.1:{ports.grpc}",
            folder=folder,
            bodies=bodies,
            store=both.store("admin"),
            triton_pid=triton_pid,
        )
        wanted = Camera(
            name="bench", source="test://", paused=True, functions={"detect": (Work(model=model, fps=FPS),)}
        )
        made.store.put(camera_key("bench"), encode(wanted))
        for _ in range(instances):
            port = program.free_port()
            pid = _started(stack, pinned(FUNCTION_CORE, _function(made, port)), within_s=30)
            made.functions.append((port, pid))
        yield made


def _started(stack: ExitStack, what: Program, *, within_s: float) -> int:
    process = program.start(what)
    stack.callback(program.stop, process)
    program.wait_ready(what, process, timeout_s=within_s)
    return process.pid


def _allow(cores: set[int], *pids: int) -> None:
    for pid in (each for root in pids for each in family(root)):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def on_core(core: int) -> None:
    """Keep this process, and the threads it will start, on one core."""
    os.sched_setaffinity(0, {core})
