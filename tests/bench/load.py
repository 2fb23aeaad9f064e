"""`make bench-load`: what one chunk asks of the store and of NATS, counted at the servers themselves.

Every chunk is looked at by one model and listed. The sweeper and the indexer are asked by hand, so that a round of
theirs is counted by itself.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from sluice.cameras import create, remove
from sluice.contracts.camera import Camera, Work
from sluice.local import program, tools
from sluice.preparation.secrets import load_or_create
from tests.bench.detecting.whole_line import Meter
from tests.builders import a_chunk, a_chunk_name
from tests.services.line import Line, copy_manifests, eventually
from tests.services.metrics import minio_token, page

SOURCE: Final = "test://?size=1280x720&fps=25&gop=75&audio=0"
MINIO_CACHES_S: Final = 12.0
"""Its page of metrics is up to ten seconds old."""
HOUR_MS: Final = 3_600_000
ROUNDS: Final = ("sweep", "index")
SAMPLE: Final = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """At the servers, since they started."""

    at: float
    s3: Mapping[str, float]
    """Requests by API, and bytes as `received` and `sent`."""
    nats: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    """By part."""

    def since(self, then: "Counted") -> "Counted":
        """What came in between."""
        more = {name: value - then.s3.get(name, 0) for name, value in self.s3.items()}
        return Counted(
            at=self.at - then.at,
            s3={name: value for name, value in more.items() if value},
            nats={name: value - then.nats[name] for name, value in self.nats.items()},
            cpu_ms={name: value - then.cpu_ms.get(name, 0) for name, value in self.cpu_ms.items()},
        )

    def less(self, idle: "Counted") -> "Counted":
        """Without what a line does all the time, whether or not there are chunks."""
        share = self.at / idle.at
        return Counted(
            at=self.at,
            s3={name: value - idle.s3.get(name, 0) * share for name, value in self.s3.items()},
            nats={name: value - idle.nats[name] * share for name, value in self.nats.items()},
            cpu_ms={name: value - idle.cpu_ms.get(name, 0) * share for name, value in self.cpu_ms.items()},
        )


class Servers:
    """A line whose NATS has its monitoring page."""

    def __init__(self, folder: Path) -> None:
        binary, self._port = tools.find_nats_server(), program.free_port()
        assert binary is not None
        (folder / "bin").mkdir()
        wrapper = folder / "bin" / "nats-server"
        wrapper.write_text(
            f'#!/bin/sh\n[ "$1" = --config ] && set -- --http_port {self._port} "$@"\nexec {binary} "$@"\n'
        )
        wrapper.chmod(0o755)
        self.line = Line(folder, with_triton=True)

    def counted(self) -> Counted:
        """Now."""
        time.sleep(MINIO_CACHES_S)
        varz = json.loads(page(f"http://127.0.0.1:{self._port}/varz"))
        url = f"{self.line.runtime()['endpoints']['s3']}/minio/v2/metrics/cluster"
        s3: dict[str, float] = {}
        metrics = page(url, token=minio_token(*load_or_create(self.line.state / "secrets").store_root))
        for sample in SAMPLE.finditer(metrics):
            api = re.search(r'api="(\w+)"', sample["labels"])
            if sample["name"] == "minio_s3_requests_total" and api:
                s3[api[1]] = s3.get(api[1], 0) + float(sample["value"])
            elif sample["name"] in ("minio_s3_traffic_received_bytes", "minio_s3_traffic_sent_bytes"):
                s3[sample["name"].split("_")[3]] = float(sample["value"])
        wanted = ("in_msgs", "out_msgs", "in_bytes", "out_bytes")
        nats = {name: varz[name] for name in wanted}
        return Counted(at=time.monotonic(), s3=s3, nats=nats, cpu_ms=Meter(self.line).used_ms())

    def settle(self) -> None:
        """Wait until everything that was begun is done."""
        time.sleep(5)  # the segmenter uploads what was open
        eventually("all is quiet", self.line.is_quiet)

    def ping(self, function: str) -> float:
        """As its PingSource does; returns the seconds that the function took, its start left out."""
        url = self.line.runtime()["endpoints"]["services"][function]
        asked = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"}, method="POST")
        urllib.request.urlopen(f"{url}/health/readiness", timeout=60).close()
        began = time.monotonic()
        urllib.request.urlopen(asked, timeout=60).close()
        took = time.monotonic() - began
        self.settle()
        return took

    def streams(self) -> dict[str, tuple[int, int]]:
        """Messages taken ever, and bytes held, by stream."""
        told = json.loads(page(f"http://127.0.0.1:{self._port}/jsz?streams=1"))
        found = [each for account in told["account_details"] for each in account["stream_detail"]]
        return {each["name"]: (each["state"]["last_seq"], each["state"]["bytes"]) for each in found}


@contextmanager
def running(folder: Path, *, unseen: bool) -> Iterator[Servers]:
    """A line whose rounds are asked for by hand, and whose detect takes what it is told to."""
    servers = Servers(folder)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{folder / 'bin'}:{path}"
    copy_manifests(servers.line, without=("detect",) if unseen else ())
    for name in ROUNDS:
        manifest = servers.line.manifests / f"{name}.yaml"
        kept = [each for each in manifest.read_text().split("\n---\n") if "kind: PingSource" not in each]
        manifest.write_text("\n---\n".join(kept))
    for trigger in servers.line.manifests.glob("chunk-stored-to-detect.yaml"):
        trigger.write_text(trigger.read_text().replace("activity: idle", "activity: none"))
    servers.line.start()
    try:
        yield servers
    finally:
        servers.line.stop()
        os.environ["PATH"] = path


def watched(servers: Servers, *, cameras: int, seconds: float) -> int:
    """So many cameras for so long, every chunk looked at by one model; returns how many chunks they left."""
    bus, store = servers.line.bus(), servers.line.store()
    looks: dict[str, tuple[Work, ...]] = {"detect": (Work(model="squares", fps=5),)}
    for n in range(cameras):
        create(store, bus, Camera(name=f"cam-{n}", source=SOURCE, functions=looks))
    time.sleep(seconds)
    for n in range(cameras):
        remove(store, bus, f"cam-{n}")
    bus.close()
    servers.settle()
    return sum(1 for _ in store.list("chunks/cam-"))


def report(what: str, counted: Counted, by: float) -> None:
    """A line each."""
    print(f"{what}, of {by:g}:")
    for server, values in (("S3", counted.s3), ("NATS", counted.nats), ("ms of CPU", counted.cpu_ms)):
        print(f"  {server}: " + ", ".join(f"{name} {value / by:.2f}" for name, value in sorted(values.items())))


def held(servers: Servers, chunks: int) -> None:
    """What is on disk at the end of the first part."""
    for name, (taken, size) in servers.streams().items():
        print(f"  stream {name}: {taken / chunks:.2f} messages, {size / chunks:.0f} bytes held a chunk")
    for prefix in ("chunks/", "results/detect-squares/", "hls/", "index/"):
        sizes = [each.size_bytes for each in servers.line.store().list(prefix)]
        print(f"  {prefix}: {len(sizes)} objects, {sum(sizes) / max(1, len(sizes)):.0f} bytes each")


def fleet(servers: Servers, cameras: int) -> None:
    """Two chunks each of many cameras that nobody watches, listed, and older than the sweeper's patience."""
    store, (init, body) = servers.line.store(), a_chunk()
    began_ms = int(time.time() * 1000) - HOUR_MS
    with ThreadPoolExecutor(8) as pool:
        for seq in (1, 2):
            names = [
                a_chunk_name(f"many-{n}", start_ms=began_ms + seq * 3000, seq=seq, activity="idle", init=init)
                for n in range(cameras)
            ]
            list(pool.map(lambda name: store.put(name.key, body, content_type="video/mp4"), names))
    servers.settle()


def durable(servers: Servers) -> float:
    """Messages of 1 KiB that NATS takes a second, each on disk before it says so, from sixteen threads."""
    bus, count, began = servers.line.bus(), 4000, time.monotonic()

    def publish(n: int) -> None:
        bus.publish("sluice.v1.detections.bench", bytes(1024), message_id=f"bench-{began}-{n}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(publish, range(count)))
    bus.close()
    return count / (time.monotonic() - began)


def main() -> None:
    """One line, in parts: nobody, cameras, many cameras and the rounds over them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--fleet", type=int, default=200)
    parser.add_argument("--unseen", action="store_true", help="no model looks at a chunk, as with idle ones")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        running(Path(folder), unseen=given.unseen) as servers,
    ):
        empty = servers.counted()
        time.sleep(given.seconds / 2)
        before = servers.counted()
        nobody = before.since(empty)
        report("nobody, a second", nobody, nobody.at)
        chunks = watched(servers, cameras=given.cameras, seconds=given.seconds)
        report("a chunk", servers.counted().since(before).less(nobody), chunks)
        held(servers, chunks)
        print(f"NATS takes {durable(servers):.0f} messages a second, each on disk")
        if given.fleet:
            fleet(servers, given.fleet)
        for name in (*ROUNDS, *ROUNDS) if given.fleet else ():
            before = servers.counted()
            took = servers.ping(name)
            asked = servers.counted().since(before).less(nobody)
            report(f"a round of {name}, {took:.2f} s, a camera", asked, given.fleet + given.cameras)


if __name__ == "__main__":
    try:
        main()
    except pytest.fail.Exception as error:
        sys.exit(str(error))
