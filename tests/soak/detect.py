"""`make soak ARGS="detect 15m"`: 8 cameras through the whole line; nothing grows, waits longer, is missing or doubled.

Sampled each ten seconds: memory of each part, of the runtime itself and of the largest instance of detect.
"""

import contextlib
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice import events
from sluice.cameras import create, save
from sluice.contracts.camera import Camera, Work
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.detection import ObjectsDetected
from sluice.names import parse_result_key, subject
from sluice.topology import CHUNKS, RESULTS
from tests.chunks import names_of
from tests.services.line import Line, copy_manifests, eventually, needs_tools
from tests.services.told import told
from tests.services.usage import family, usage
from tests.soak.growth import Growth, growth

CAMERAS = 8
MODEL = "squares"
SOURCE = "test://?size=320x180&fps=25&gop=75"
CHUNK_S = 3
SAMPLE_S = 10
SETTLE_S = 90
"""Caches fill, and each function has been started: not watched."""
HEALED_S = 240
"""Within which the sweeper has found whatever was lost."""
ALLOWED_MIB = {"minio": 64.0, "nats-server": 48.0, "triton": 32.0, "detect": 24.0}
"""Go's heap breathes and the store's caches fill; NATS holds the block that each stream writes, up to 8 MiB, and Go
about as much again. In detect each thread has a heap of its own, that is full when as many chunks as may be have met;
one frame that each chunk left behind would be 27 MiB a minute. Of other parts OTHERS_MIB."""
OTHERS_MIB = 10.0
ALLOWED_WAIT_MS = 250.0
"""That chunks wait longer at the end than at the beginning; the machine is shared."""


@dataclass
class Summary:
    """What the soak has found."""

    growths: list[Growth] = field(default_factory=list)
    chunks: int = 0
    looked_at: int = 0
    again: int = 0
    """Announced again by the sweeper."""
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{CAMERAS} cameras, {self.chunks} chunks, {self.looked_at} looked at, {self.again} announced again",
                *map(str, self.growths),
                *(f"PROBLEM: {each}" for each in self.problems),
                "failed" if self.problems else "passed",
            ]
        )


def soak(folder: Path, lasts_s: float, *, show: Callable[[str], None] = lambda _: None) -> Summary:
    """Run it on a line of its own."""
    line = Line(folder, with_triton=True)
    copy_manifests(line, without=())
    works: dict[str, tuple[Work, ...]] = {"detect": (Work(model=MODEL),)}
    cameras = [Camera(name=f"soak-{n}", source=SOURCE, functions=works) for n in range(CAMERAS)]
    names = [each.name for each in cameras]
    try:
        line.start()
        since = datetime.now(UTC)
        bus, store = line.bus(), line.store()
        for camera in cameras:
            create(store, bus, camera)
        eventually("each camera is looked at", lambda: _looked_at(line) == set(names), within_s=120)
        summary = _watched(line, lasts_s, show)
        for camera in cameras:
            # Not removed: chunks of a camera that is gone are looked at with the function's own model.
            save(store, bus, replace(camera, paused=True))
        bus.close()
        _count(line, summary, names, since)
    finally:
        line.stop()
    return summary


def _looked_at(line: Line) -> set[str]:
    return {parse_result_key(each.key).chunk.camera for each in line.store().list(f"results/detect-{MODEL}/")}


def _watched(line: Line, lasts_s: float, show: Callable[[str], None]) -> Summary:
    samples: dict[str, list[tuple[float, float]]] = {}
    summary, began = Summary(), time.monotonic()
    restarts = _restarts(line)
    due = began + min(SETTLE_S, lasts_s / 3)
    while due < began + lasts_s:
        time.sleep(max(0.0, due - time.monotonic()))
        at, used = time.monotonic() - began, _memory(line)
        for name, mib in used.items():
            samples.setdefault(name, []).append((at, mib))
        show(f"{at:6.0f} s: " + ", ".join(f"{name} {mib:.1f}" for name, mib in used.items()) + " MiB")
        due += SAMPLE_S
    summary.growths = [
        growth(f"RSS of {name} in MiB", values, allowed=ALLOWED_MIB.get(name, OTHERS_MIB))
        for name, values in samples.items()
    ]
    if _restarts(line) != restarts:
        summary.problems.append(f"a part was started again: {_restarts(line)}")
    return summary


def _memory(line: Line) -> dict[str, float]:
    """MiB by part; an instance of a function that ended between two looks is looked for anew."""
    assert line.process is not None
    while True:
        status = line.status()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration):
            found = {name: usage(family(each["pid"])).rss_kib / 1024 for name, each in status["parts"].items()}
            found["runtime"] = usage([line.process.pid]).rss_kib / 1024
            detect = [usage(family(pid)).rss_kib / 1024 for pid in status["services"]["detect"]["instances"]]
            return {**found, "detect": max(detect)} if detect else found


def _restarts(line: Line) -> dict[str, int]:
    return {name: each["restarts"] for name, each in line.status()["parts"].items()}


def _count(line: Line, summary: Summary, cameras: list[str], since: datetime) -> None:
    """Each chunk that was to be looked at has one result object and one message, and none waited longer and longer."""
    _ended(line)
    marks = {each.key for each in line.store().list(f"results/detect-{MODEL}/")}
    waits = list[tuple[float, float]]()
    for name in cameras:
        announced = _announced(line, name, since)
        summary.again += sum(1 for attempts in announced.values() if attempts > 1)
        found, chunks = _detections(line, name, since), names_of(line.store(), name)
        wanted = [each for each in chunks if each.activity != "idle"]
        summary.chunks, summary.looked_at = summary.chunks + len(chunks), summary.looked_at + len(wanted)
        summary.problems += [
            f"{each.key}: {len(found[each.key])} messages, {'a' if has_mark else 'no'} result object"
            for each in wanted
            if not (has_mark := each.result_key("detect", MODEL) in marks) or len(found[each.key]) != 1
        ]
        waits += [(each.end_ms / 1000, said.stages_ms["wait"]) for each in wanted for said in found[each.key]]
    summary.growths.append(growth("wait of a chunk in ms", sorted(waits), allowed=ALLOWED_WAIT_MS))
    summary.problems += [str(each) for each in summary.growths if not each.is_flat]


def _ended(line: Line) -> None:
    """The last chunks are stored, and all that follows from them is done."""

    def stands_still() -> bool:
        before = sum(1 for _ in line.store().list("chunks/"))
        time.sleep(2 * CHUNK_S)
        return sum(1 for _ in line.store().list("chunks/")) == before

    eventually("no chunk comes any more", stands_still)
    eventually("nothing is under way", line.is_quiet, within_s=HEALED_S)


def _detections(line: Line, camera: str, since: datetime) -> dict[str, list[ObjectsDetected]]:
    found: dict[str, list[ObjectsDetected]] = defaultdict(list)
    for message in told(line, RESULTS.name, subject("detections", camera), since=since):
        said = events.from_nats(message.headers, message.payload, ObjectsDetected).data
        found[said.chunk.key].append(said)
    return found


def _announced(line: Line, camera: str, since: datetime) -> Counter[str]:
    """How often each chunk was."""
    read = (
        events.from_nats(message.headers, message.payload, ChunkStored)
        for message in told(line, CHUNKS.name, subject("chunks", camera), since=since)
    )
    return Counter(event.data.chunk.key for event in read)


def main(lasts_s: float) -> int:
    """Status 1: something was found."""
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        try:
            needs_tools()
            summary = soak(Path(folder), lasts_s, show=lambda line: print(line, flush=True))
        except (pytest.fail.Exception, pytest.skip.Exception, AssertionError) as error:
            sys.exit(str(error))
    print(summary)
    return 1 if summary.problems else 0
