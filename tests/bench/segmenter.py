"""`make bench-segmenter`: our segmenter beside as many `ffmpeg -c copy` segmenters, on equal terms.

Both pull the same looped 720p25 H.264 and AAC from one server that keeps time, both put 3 s segments into the same
MinIO. One after the other, each in a steady window of the same length; counted is the CPU time (user and system) and
memory (PSS) of every process but MinIO, the source, and what gives FFmpeg's uploads a length (MinIO wants one).
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from minio import Minio

from sluice.local import program, tools
from sluice.local.program import Program
from tests.chunks import check_order, names_of
from tests.services.ffmpeg import Peer, ffmpeg
from tests.services.line import ROOT, eventually
from tests.services.looped import make_clip
from tests.services.paced import PacedSource, paced_source
from tests.services.prepared import PreparedServers
from tests.services.segmenter import pulled, segmenter_process, segmenter_servers
from tests.services.usage import Usage, family, usage

SEGMENT_S = 3
OURS, THEIRS = "sluice", "ffmpeg"
GOALS = {"cpu": 0.6, "memory": 0.25}
PUBLIC = "bench"
MEMORY_SAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One side with so many cameras."""

    side: str
    cameras: int
    cpu: float
    """Cores."""
    memory_mib: float
    processes: int
    segments: int
    """Put within the window."""

    def __str__(self) -> str:
        per = f"{self.cpu * 1000 / self.cameras:6.2f} ms/s {self.memory_mib / self.cameras:6.1f} MiB a camera"
        return (
            f"{self.side:7} {self.cameras:3} cameras: {self.cpu * 100:6.1f} % of a core {self.memory_mib:7.1f} MiB "
            f"in {self.processes:2} processes; {per}; {self.segments} segments"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What both sides share."""

    servers: PreparedServers
    source: PacedSource
    folder: Path
    seconds: float

    def ours(self, cameras: int) -> Measured:
        """The segmenter with its cameras."""
        names = [f"ours-{cameras}-{n}" for n in range(cameras)]
        store = self.servers.store("admin")
        with segmenter_process(self.servers, self.folder / f"ours-{cameras}") as segmenter:
            segmenter.save(*(pulled(name, self.source.url(name)) for name in names))
            segmenter.wait_for_chunks(dict.fromkeys(names, 2), within_s=120)
            measured = self._window(
                OURS,
                cameras,
                lambda: family(segmenter.pid),
                lambda: [each.modified for name in names for each in store.list(f"chunks/{name}/")],
            )
            assert all(each["state"] == "online" for each in segmenter.cameras().values())
        for name in names:
            check_order(names_of(store, name))
            segmenter.remove(name)
        return measured

    def theirs(self, cameras: int, forwarder: str) -> Measured:
        """As many FFmpegs."""
        names = [f"theirs-{cameras}-{n}" for n in range(cameras)]
        client = _root(self.servers)

        def put() -> list[datetime]:
            found = (client.list_objects(PUBLIC, f"{name}/", recursive=True) for name in names)
            segments = (one for each in found for one in each if str(one.object_name).endswith(".ts"))
            return [one.last_modified for one in segments if one.last_modified]

        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(self._segmenting(name, f"{forwarder}/{PUBLIC}/{name}")) for name in names]
            eventually("every FFmpeg has put segments", lambda: len(put()) >= 2 * cameras, within_s=120)
            return self._window(THEIRS, cameras, lambda: [each.process.pid for each in peers], put)

    def _segmenting(self, name: str, target: str) -> contextlib.AbstractContextManager[Peer]:
        source = self.source.url(name)
        options = ("-c", "copy", "-f", "hls", "-hls_time", str(SEGMENT_S), "-method", "PUT")
        return ffmpeg("-i", source, *options, f"{target}/index.m3u8", folder=self.folder)

    def _window(
        self, side: str, cameras: int, pids: Callable[[], list[int]], segments: Callable[[], list[datetime]]
    ) -> Measured:
        time.sleep(10)  # the steady state: what opening a stream costs is no part of it
        who, since = pids(), datetime.now(UTC)
        before, began = usage(who), time.monotonic()
        memory = list[float]()
        for n in range(1, MEMORY_SAMPLES + 1):
            time.sleep(max(0.0, began + self.seconds * n / MEMORY_SAMPLES - time.monotonic()))
            now: Usage = usage(who)
            memory.append(now.pss_kib / 1024)
        lasted = time.monotonic() - began
        assert sorted(pids()) == sorted(who), f"{side}: a process has died or was started within the window"
        until = since + timedelta(seconds=lasted)
        put = sum(since <= at < until for at in segments())
        expected = cameras * lasted / SEGMENT_S
        assert abs(put - expected) <= cameras + 1, f"{side}: {put} segments, expected {expected:.0f}"
        return Measured(
            side=side,
            cameras=cameras,
            cpu=(now.cpu_s - before.cpu_s) / lasted,
            memory_mib=sum(memory) / len(memory),
            processes=len(who),
            segments=put,
        )


def _root(servers: PreparedServers) -> Minio:
    host = servers.minio.url.partition("://")[2]
    return Minio(host, servers.minio.root_user, servers.minio.root_password, secure=False, region=servers.minio.region)


def _open_bucket(servers: PreparedServers) -> None:
    client = _root(servers)
    client.make_bucket(PUBLIC)
    allowed = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:PutObject"]}
    policy = {"Version": "2012-10-17", "Statement": [{**allowed, "Resource": [f"arn:aws:s3:::{PUBLIC}/*"]}]}
    client.set_bucket_policy(PUBLIC, json.dumps(policy))


@contextlib.contextmanager
def _forwarder(store: str, folder: Path) -> Iterator[str]:
    port = program.free_port()
    command = (sys.executable, "-m", "tests.bench.forwarder", "--store", store, "--port", str(port))
    server = Program(
        name="forwarder",
        command=command,
        log=folder / "forwarder.log",
        ready=lambda: program.accepts_connections(port),
        directory=ROOT,
    )
    process = program.start(server)
    try:
        program.wait_ready(server, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop(process)


def run(cameras: list[int], seconds: float) -> bool:
    """Print the table; True when both goals are met with the most cameras."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        minio = tools.find_minio()
        if minio is None:
            sys.exit("minio is missing: run `make tools`")
        clip = make_clip(folder / "clip.ts", size="1280x720", bit_rate="2M")
        servers = stack.enter_context(segmenter_servers(minio, folder))
        source = stack.enter_context(paced_source(clip, log=folder / "paced.log"))
        forwarder = stack.enter_context(_forwarder(servers.minio.url, folder))
        _open_bucket(servers)
        bench = Bench(servers=servers, source=source, folder=folder, seconds=seconds)
        print(
            f"720p25 H.264 + AAC, {clip.stat().st_size * 8 / 24 / 1e6:.1f} Mbit/s, windows of {seconds:g} s", flush=True
        )
        for count in cameras:
            mine, theirs = bench.ours(count), bench.theirs(count, forwarder)
            print(mine, theirs, sep="\n", flush=True)
    ratios = {"cpu": mine.cpu / theirs.cpu, "memory": mine.memory_mib / theirs.memory_mib}
    for name, ratio in ratios.items():
        print(f"{name} ratio: {ratio:.2f}  (goal {GOALS[name]:g})", flush=True)
    return all(ratio <= GOALS[name] for name, ratio in ratios.items())


def main() -> int:
    """Status 1: a goal is missed."""
    parser = argparse.ArgumentParser(prog="make bench-segmenter", description=__doc__)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    try:
        return 0 if run(options.cameras, options.seconds) else 1
    except (pytest.fail.Exception, AssertionError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    sys.exit(main())
