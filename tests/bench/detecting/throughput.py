"""Frames a second on one function core and one Triton core: as served, the limit, and predecessors' way."""

import http.client
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sluice.local import program
from sluice.local.program import Program
from tests.bench.detecting.rig import FPS, FRAMES, FUNCTION_CORE, TRITON_CORE, Rig, pinned, rig
from tests.services.line import ROOT
from tests.services.usage import family, usage

PLANS = ((1, 1), (1, 2), (1, 4), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2), (8, 4), (16, 1), (16, 2), (32, 1))
"""Batch and callers; a model takes batches of so many at most."""
GOALS = {"of the limit": 0.8, "per-frame ratio": 5.0, "cameras": 15.0}


@dataclass(slots=True, kw_only=True)
class Figures:
    """Frames a second, round by round."""

    served: dict[int, list[float]] = field(default_factory=dict)
    """By the number of function instances on the core."""
    shared: list[float] = field(default_factory=list)
    """All instances and Triton on both cores."""
    alone: list[float] = field(default_factory=list)
    alone_shared: list[float] = field(default_factory=list)
    """Triton and its callers on both cores."""
    decode: list[float] = field(default_factory=list)
    frame_by_frame: dict[int, list[float]] = field(default_factory=dict)
    """By the number of streams at a time."""
    plan: str = ""
    ours_ms: list[tuple[float, float]] = field(default_factory=list)
    """CPU time a frame: of the function, of Triton."""
    theirs_ms: list[float] = field(default_factory=list)
    """Of caller, model server and Triton."""


def served(rig: Rig, instances: int, chunks: int) -> float:
    """Closed loop: each instance gets its next event as soon as it has answered."""
    events = queue.SimpleQueue[tuple[dict[str, str], bytes]]()
    for _ in range(chunks):
        events.put(rig.put())
    failures = list[BaseException]()

    def keep_busy(port: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            while True:
                rig.post(port, events.get_nowait(), link)
        except queue.Empty:
            pass
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=keep_busy, args=(port,)) for port, _ in rig.functions[:instances]]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return chunks * FRAMES / (time.perf_counter() - began)


def _process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, timeout=180)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(made: Rig, *, model: str, rounds: int, chunks: int, seconds: float) -> Figures:
    """The sides in turn, so that what else the machine does falls on all."""
    info = made.detector().describe(model)
    clips = ["--clips", made.folder / "clips", "--long-side", info.long_side]
    plans = [f"{batch}x{callers}" for batch, callers in PLANS if batch <= info.max_batch]
    triton = ["tests.bench.detecting.alone", "triton", *clips, "--url", made.triton_url, "--model", model]
    for port, _ in made.functions:
        made.post(port, made.put())  # warm
    with ExitStack() as stack:
        port = _model_server(stack, made, model)
        call = ["tests.bench.detecting.predecessor", "call", "--port", port, *clips[:2], "--seconds", seconds]
        tried = _process(*triton, "--plans", ",".join(plans), "--seconds", 1.5)
        plans = sorted(tried, key=lambda plan: -tried[plan])[:3]
        print(
            "triton alone, batch x callers: " + ", ".join(f"{plan} {fps:.0f}" for plan, fps in tried.items()),
            flush=True,
        )
        figures = Figures()
        for _ in range(rounds):
            best = _process(*triton, "--plans", ",".join(plans), "--seconds", seconds / 2)
            figures.plan = max(best, key=lambda plan: best[plan])
            figures.alone.append(best[figures.plan])
            for count in range(1, len(made.functions) + 1):
                figures.served.setdefault(count, []).append(_served(made, figures, count, chunks))
                figures.frame_by_frame.setdefault(count, []).append(_called(made, figures, [*call, "--streams", count]))
            with made.on_both_cores():
                figures.shared.append(served(made, len(made.functions), chunks))
                best = _process(*triton, "--plans", ",".join(plans), "--seconds", seconds / 2, "--both-cores")
                figures.alone_shared.append(max(best.values()))
            decode = _process("tests.bench.detecting.alone", "decode", *clips, "--seconds", seconds / 2)
            figures.decode.append(decode["fps"])
    return figures


def _served(made: Rig, figures: Figures, instances: int, chunks: int) -> float:
    pids = [made.triton_pid, *(pid for _, pid in made.functions)]
    before = [_cpu_ms(pid) for pid in pids]
    fps = served(made, instances, chunks)
    triton, *functions = [(_cpu_ms(pid) - was) / (chunks * FRAMES) for pid, was in zip(pids, before, strict=True)]
    figures.ours_ms.append((sum(functions), triton))
    return fps


def _called(made: Rig, figures: Figures, call: list[object]) -> float:
    pids = (made.triton_pid, made.model_server_pid)
    before = sum(map(_cpu_ms, pids))
    said = _process(*call)
    figures.theirs_ms.append(said["cpu_ms"] + (sum(map(_cpu_ms, pids)) - before) / said["frames"])
    return said["fps"]


def _cpu_ms(pid: int) -> float:
    return usage(family(pid)).cpu_s * 1000


def _model_server(stack: ExitStack, made: Rig, model: str) -> int:
    port = program.free_port()
    what = Program(
        name="model server",
        command=(
            *(sys.executable, "-m", "tests.bench.detecting.predecessor", "serve", "--port", str(port)),
            *("--url", made.triton_url, "--model", model),
        ),
        log=made.folder / "model-server.log",
        ready=lambda: program.accepts_connections(port),
        directory=ROOT,
    )
    process = program.start(pinned(TRITON_CORE, what))
    stack.callback(program.stop, process)
    program.wait_ready(what, process)
    made.model_server_pid = process.pid
    return port


def report(figures: Figures) -> bool:
    """Print it; True when every goal is met."""
    alone = statistics.median(figures.alone)
    by_count = {count: statistics.median(values) for count, values in figures.served.items()}
    count, fps = max(by_count.items(), key=lambda each: each[1])
    theirs = {streams: statistics.median(values) for streams, values in figures.frame_by_frame.items()}
    for instances, value in by_count.items():
        print(
            f"detect, {instances} instances on core {FUNCTION_CORE}: {value:.1f} frames/s  "
            f"{_all(figures.served[instances])}"
        )
    print(f"triton alone on core {TRITON_CORE}, {figures.plan}: {alone:.1f} frames/s  {_all(figures.alone)}")
    shared, alone_shared = statistics.median(figures.shared), statistics.median(figures.alone_shared)
    print(f"both cores for all, detect: {shared:.1f} frames/s  {_all(figures.shared)}")
    print(f"both cores for all, triton alone: {alone_shared:.1f} frames/s  {_all(figures.alone_shared)}")
    print(f"decoding alone: {statistics.median(figures.decode):.1f} frames/s  {_all(figures.decode)}")
    for streams, value in theirs.items():
        print(f"frame at a time, {streams} streams: {value:.1f} frames/s  {_all(figures.frame_by_frame[streams])}")
    function, triton = (statistics.median(values) for values in zip(*figures.ours_ms, strict=True))
    theirs_ms = statistics.median(figures.theirs_ms)
    print(
        f"CPU time a frame: function {function:.1f} ms ({1000 / function:.0f} frames/s a core), triton {triton:.1f} ms"
    )
    print(f"CPU time a frame, frame at a time: {theirs_ms:.1f} ms in all")
    ratios = {"of the limit": fps / alone, "per-frame ratio": fps / theirs[count], "cameras": fps / FPS}
    print(f"of the limit: {ratios['of the limit']:.2f}  (goal {GOALS['of the limit']:g})")
    print(f"of the limit, both cores for all: {shared / alone_shared:.2f}")
    print(f"of decoding alone: {fps / statistics.median(figures.decode):.2f}")
    print(f"per-frame ratio by CPU time: {theirs_ms / (function + triton):.1f}")
    print(f"per-frame ratio: {ratios['per-frame ratio']:.1f}  (goal {GOALS['per-frame ratio']:g})")
    print(
        f"cameras at {FPS:g} frames/s a function core and Triton core: {ratios['cameras']:.1f}  "
        f"(goal {GOALS['cameras']:g})"
    )
    return all(ratios[name] >= goal for name, goal in GOALS.items())


def _all(values: list[float]) -> str:
    return f"({' '.join(f'{value:.1f}' for value in values)})"


def run(*, model: str, instances: int, bit_rate: str, rounds: int, chunks: int, seconds: float) -> bool:
    """All of it."""
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        rig(Path(folder), model=model, instances=instances, bit_rate=bit_rate) as made,
    ):
        figures = measure(made, model=model, rounds=rounds, chunks=chunks, seconds=seconds)
        return report(figures)
