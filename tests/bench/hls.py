"""`make bench-hls`: how soon a chunk is listed, what the gateway costs, and how old the picture is that a viewer sees.

One figure a line, its budget or goal beside it; times of the store are its own, so no clock is compared with another.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
import urllib3
from playwright.sync_api import sync_playwright

from sluice import names, tokens
from sluice.contracts.camera import Camera
from sluice.store import S3Store
from tests.bench.line import share
from tests.browser.conftest import FLAGS, SOURCE, add, needed
from tests.browser.watched import opened
from tests.builders import a_chunk_name
from tests.services.line import Line, copy_manifests, eventually, needs_tools

CAMERAS = 4
LOOPED = "test://?size=640x360&fps=25&gop=75&bf=2"
PATTERN = "glass"
VIEWERS = 200
POLL_S = 3.0
READERS = 4
BODY = os.urandom(2 << 20)
"""A chunk of three seconds at 5.6 Mbit/s."""


def say(what: str, value: float, unit: str, note: str = "") -> None:
    """One figure a line."""
    print(f"{what}: {value:.1f} {unit}" + (f"  ({note})" if note else ""), flush=True)


@contextmanager
def running() -> Iterator[Line]:
    """The shipped line, without what looks at pictures."""
    needs_tools()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        line = Line(Path(folder))
        copy_manifests(line, without=("detect", "sweep", "inspect", "index"))
        try:
            line.start()
            yield line
        finally:
            line.stop()


def main() -> int:
    """Status 1: a budget is missed."""
    parser = argparse.ArgumentParser(prog="make bench-hls", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of live video")
    options = parser.parse_args()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    try:
        with running() as line:
            secret, _ = tokens.create(line.store())
            root = f"{line.runtime()['endpoints']['services']['gateway']}/t/{secret}"
            met = listing(line, options.seconds)
            throughput(line, root)
            asyncio.run(polling(f"{root}/hls/camera-0/live-4.m3u8", options.seconds / 3))
            return 0 if glass(line, root, options.seconds) and met else 1
    except (pytest.fail.Exception, AssertionError) as error:
        sys.exit(str(error))


@dataclass
class Listing:
    """When each chunk came into its playlist, by the store's clock."""

    listed: dict[str, datetime]
    etags: dict[str, str]

    def look(self, store: S3Store) -> None:
        """Note what is listed for the first time."""
        for each in store.list("hls/camera-"):
            if "/live-" not in each.key or self.etags.get(each.key) == each.etag:
                continue
            found = store.get(each.key)
            if found.etag != each.etag:
                continue  # changed in between: its time is another
            self.etags[each.key] = each.etag
            for line in found.body.decode().splitlines():
                if line.startswith("../../chunks/"):
                    self.listed.setdefault(line.removeprefix("../../"), each.modified)


def listing(line: Line, seconds: float) -> bool:
    """Chunk durable -> live playlist has it; cameras as they are, one write in three seconds each."""
    for n in range(CAMERAS):
        camera = Camera(name=f"camera-{n}", source=LOOPED, functions={})
        add(line, camera)
    seen, store = Listing({}, {}), line.store()

    def all_are_listed() -> bool:
        seen.look(store)
        return len(seen.etags) == CAMERAS

    eventually("all cameras are listed", all_are_listed)
    # Processes are warm from here on.
    before, end = set(seen.listed), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.look(store)
        time.sleep(0.005)
    stored = {each.key: each.modified for n in range(CAMERAS) for each in store.list(f"chunks/camera-{n}/")}
    took = sorted((seen.listed[key] - stored[key]).total_seconds() * 1000 for key in set(seen.listed) - before)
    say("playlist p50", share(took, 0.5), "ms")
    p95 = share(took, 0.95)
    say("playlist p95", p95, "ms", f"budget 60 ms; {len(took)} chunks of {CAMERAS} cameras")
    return p95 <= 60


def throughput(line: Line, root: str) -> None:
    """Chunks through the gateway, and the same from MinIO itself, in turn."""
    store, now = line.store(), int(time.time() * 1000)
    keys = [a_chunk_name(camera="big", start_ms=now + n * 3000, session=1, seq=n).key for n in range(8)]
    for key in keys:
        store.put(key, BODY, content_type="video/mp4")
    through, direct = list[float](), list[float]()
    for _ in range(3):
        through.append(rate([f"{root}/{key}" for key in keys]))
        direct.append(rate([store.presign(key, expires_s=600) for key in keys]))
    mine, theirs = statistics.median(through), statistics.median(direct)
    say("gateway throughput", mine, "MB/s", f"{READERS} readers of chunks of 2 MiB")
    say("MinIO direct", theirs, "MB/s")
    print(f"gateway / MinIO direct: {mine / theirs:.2f}", flush=True)


def rate(urls: list[str]) -> float:
    """MB/s of READERS that read all of them, twice each."""
    pool = urllib3.PoolManager(maxsize=READERS)
    began = time.monotonic()
    with ThreadPoolExecutor(READERS) as threads:
        read = sum(threads.map(lambda url: len(pool.request("GET", url).data), urls * 8))
    assert read == len(BODY) * len(urls) * 8
    return read / (time.monotonic() - began) / 1e6


async def polling(url: str, seconds: float) -> None:
    """200 viewers who ask each three seconds, as players do; then as fast as they are answered."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        for pause_s, what in ((POLL_S, f"each {POLL_S:g} s"), (0.0, "without a pause")):
            took, began = list[float](), time.monotonic()
            await asyncio.gather(*(viewer(session, url, began + seconds, pause_s, n, took) for n in range(VIEWERS)))
            lasted = time.monotonic() - began
            took.sort()
            print(
                f"{VIEWERS} viewers polling {what}: {len(took) / lasted:.0f} requests/s, "
                f"p50 {share(took, 0.5):.0f} ms, p95 {share(took, 0.95):.0f} ms",
                flush=True,
            )


async def viewer(
    session: aiohttp.ClientSession, url: str, until: float, pause_s: float, n: int, took: list[float]
) -> None:
    """One of them, who did not come at the same moment as the others."""
    await asyncio.sleep(pause_s * n / VIEWERS)
    while (began := time.monotonic()) < until:
        async with session.get(url) as answer:
            await answer.read()
            assert answer.status == 200, answer.status
        spent = time.monotonic() - began
        took.append(spent * 1000)
        await asyncio.sleep(max(0.0, pause_s - spent))


def glass(line: Line, root: str, seconds: float) -> bool:
    """The pattern's clock, read back from what the page shows."""
    add(line, Camera(name=PATTERN, source=SOURCE, functions={}))
    eventually("four chunks", lambda: len(list(line.store().list(f"chunks/{PATTERN}/"))) >= 4)
    # Before the page is opened its playlist is there.
    eventually("a playlist", lambda: list(line.store().list(names.multivariant_key(PATTERN))))
    program = needed("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = opened(browser, f"{root}/watch/{PATTERN}")
        first = page.plays()
        page.rest(3)
        page.mark()
        ages, end = list[float](), time.monotonic() + seconds
        while time.monotonic() < end:
            ages += [each.age_s for each in page.looks(1)]
            page.rest(1)
        stall, shown = page.longest_stall_s(), page.latency_s()
        browser.close()
    ages.sort()
    say("glass to glass", statistics.median(ages), "s", f"goal 12 s; from {ages[0]:.1f} to {ages[-1]:.1f}")
    say("latency that the page shows at the end", shown, "s")
    say("first picture after the page was opened", first, "s")
    say("longest stall", stall, "s", "goal 0.5 s")
    return statistics.median(ages) <= 12 and stall <= 0.5


if __name__ == "__main__":
    sys.exit(main())
