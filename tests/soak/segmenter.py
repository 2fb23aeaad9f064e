"""`make soak ARGS="segmenter 30m"`: 16 cameras for as long as told; nothing may grow, be missing, or lose its time.

Six cameras are pulled from a server that knows when it sent each frame, so that a chunk's time can be held against
it; five are looped films, five test patterns. Sampled each ten seconds: memory, descriptors and threads of all
processes of the segmenter.
"""

import bisect
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from sluice.contracts.camera import Camera
from sluice.local import tools
from sluice.store import ObjectStore
from tests.chunks import check_order, checked_sessions, names_of
from tests.payloads import payloads_of
from tests.services.looped import FPS, LOOP_FRAMES, make_clip
from tests.services.paced import PacedSource, paced_source
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers
from tests.services.usage import family, usage
from tests.soak.growth import Growth, growth

PACED, FILMS, PATTERNS = 6, 5, 5
SAMPLE_S = 10
SETTLE_S = 40
"""Opening streams, and the first chunks, fill caches: not watched."""
ALLOWED_MS = 40
ALLOWED = {"RSS in MiB": 8.0, "descriptors": 2.0, "threads": 1.0}
FULL_CHECK = 120
"""Chunks of a camera that are checked one by one, the newest; names are checked all."""


@dataclass
class Summary:
    """What the soak has found."""

    growths: list[Growth] = field(default_factory=list)
    errors_ms: list[float] = field(default_factory=list)
    """Chunk time less the time at which its first frame was sent."""
    chunks: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        self.errors_ms.sort()
        low, high = self.errors_ms[0], self.errors_ms[-1]
        middle = statistics.median(self.errors_ms)
        return "\n".join(
            [
                f"cameras: {PACED} over HTTP, {FILMS} films, {PATTERNS} test patterns; chunks: {self.chunks}",
                *map(str, self.growths),
                (
                    f"chunk time less the time its first frame was sent: {low:+.0f} … {middle:+.0f} … {high:+.0f} ms, "
                    f"{len(self.errors_ms)} chunks (allowed {ALLOWED_MS} ms)"
                ),
                *(f"PROBLEM: {each}" for each in self.problems),
                "failed" if self.problems else "passed",
            ]
        )


def soak(minio: Path, folder: Path, lasts_s: float, *, show: Callable[[str], None] = lambda _: None) -> Summary:
    """Run it."""
    clip = make_clip(folder / "clip.flv")
    with contextlib.ExitStack() as stack:
        servers = stack.enter_context(segmenter_servers(minio, folder))
        source = stack.enter_context(paced_source(clip, log=folder / "paced.log"))
        cameras = _cameras(source, clip)
        names = [each.name for each in cameras]
        with segmenter_process(servers, folder / "segmenter") as segmenter:
            segmenter.save(*cameras)
            segmenter.wait_for_chunks(dict.fromkeys(names, 2), within_s=90)
            summary = _watched(segmenter, lasts_s, show)
        # It has ended: the last chunk of each is there.
        for name in names:
            _check(summary, segmenter.store, name)
        for camera in cameras[:PACED]:
            _check_time(summary, segmenter.store, camera.name, source, payloads_of(clip).video)
    return summary


def _cameras(source: PacedSource, clip: Path) -> list[Camera]:
    film = f"file://{quote(str(clip))}?loop=1"
    pattern = "test://?size=320x180&fps=25&gop=50&bf=2"
    return [
        *(pulled(f"paced-{n}", source.url(f"paced-{n}")) for n in range(PACED)),
        *(pulled(f"film-{n}", film) for n in range(FILMS)),
        *(pulled(f"pattern-{n}", pattern) for n in range(PATTERNS)),
    ]


def _watched(segmenter: SegmenterProcess, lasts_s: float, show: Callable[[str], None]) -> Summary:
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in ALLOWED}
    summary = Summary()
    began = time.monotonic()
    who = family(segmenter.pid)
    due = began + min(SETTLE_S, lasts_s / 3)
    while due < began + lasts_s:
        time.sleep(max(0.0, due - time.monotonic()))
        if family(segmenter.pid) != who:
            summary.problems.append("a worker has died or was started")
            who = family(segmenter.pid)
        used, at = usage(who), time.monotonic() - began
        for name, value in zip(ALLOWED, (used.rss_kib / 1024, used.descriptors, used.threads), strict=True):
            samples[name].append((at, value))
        show(f"{at:6.0f} s: {used.rss_kib / 1024:.1f} MiB, {used.descriptors} descriptors, {used.threads} threads")
        due += SAMPLE_S
    summary.growths = [growth(name, samples[name], allowed=allowed) for name, allowed in ALLOWED.items()]
    summary.problems += [str(each) for each in summary.growths if not each.is_flat]
    for name, said in segmenter.cameras().items():
        if said["state"] != "online" or said["reconnects"] or said["dropped"]:
            summary.problems.append(f"{name}: {said}")
    return summary


def _check(summary: Summary, store: ObjectStore, camera: str) -> None:
    try:
        names = names_of(store, camera)
        summary.chunks += len(names)
        check_order(names)
        assert len({name.session for name in names}) == 1, f"{camera}: more than one session"
        checked_sessions(store, camera, newest=FULL_CHECK)
    except AssertionError as error:
        summary.problems.append(str(error))


def _check_time(
    summary: Summary, store: ObjectStore, camera: str, source: PacedSource, frames: tuple[str, ...]
) -> None:
    """Each chunk's start against the moment at which its first frame was sent."""
    connections, wrong = source.connections(camera), list[str]()
    for name in names_of(store, camera):
        # Which connection: the last that began before the chunk did.
        began, first = connections[max(0, bisect.bisect([at for at, _ in connections], name.start_ms / 1000) - 1)]
        at = frames.index(payloads_of(store.get(name.key).body).video[0])
        sent = (at - first) % LOOP_FRAMES
        rounds = round((name.start_ms / 1000 - began - sent / FPS) * FPS / LOOP_FRAMES)
        expected_ms = (began + (sent + rounds * LOOP_FRAMES) / FPS) * 1000
        error_ms = name.start_ms - expected_ms
        summary.errors_ms.append(error_ms)
        wrong += [f"{name.key}: {error_ms:+.0f} ms from when its first frame was sent"] * (abs(error_ms) > ALLOWED_MS)
    if wrong:
        summary.problems.append(f"{len(wrong)} chunks are off, the first: {wrong[0]}, the last: {wrong[-1]}")


def main(lasts_s: float) -> int:
    """Status 1: something was found."""
    minio = tools.find_minio()
    if minio is None:
        sys.exit("minio is missing: run `make tools`")
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        try:
            summary = soak(minio, Path(folder), lasts_s, show=lambda line: print(line, flush=True))
        except (pytest.fail.Exception, AssertionError) as error:
            sys.exit(str(error))
    print(summary)
    return 1 if summary.problems else 0
