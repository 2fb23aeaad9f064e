"""A chunk's frames through its models: the next batch is decoded while Triton works on the last."""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sluice import telemetry
from sluice.contracts.chunk import ChunkRef
from sluice.contracts.detection import DetectedObject, FrameObjects, ObjectsDetected
from sluice.errors import UnavailableError, UnusableInputError
from sluice.frames import Batch, Sampler, Want
from sluice.inference import Box, Detector, ModelInfo

MOST_IN_FLIGHT: Final = 2
"""Batches at Triton; another is being filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One model and what it is to see and to say."""

    model: str
    fps: float
    """After the load is taken into account."""
    wanted_fps: float
    keyframes_only: bool = False
    labels: tuple[str, ...] | None = None
    min_score: float = 0.0


Outcome = ObjectsDetected | UnusableInputError | UnavailableError


@dataclass(slots=True)
class _Run:
    task: Task
    info: ModelInfo
    frames: list[FrameObjects] = field(default_factory=list)
    infer_s: float = 0.0
    failure: UnusableInputError | UnavailableError | None = None


def analysed(
    chunk: ChunkRef,
    body: bytes,
    tasks: Sequence[Task],
    *,
    detector: Detector,
    batch_bytes: int,
    threads: int,
    stages_ms: Mapping[str, float],
) -> dict[str, Outcome]:
    """An outcome for each task, by model; raises UnusableInputError when the chunk cannot be decoded at all."""
    began = time.perf_counter()
    described = {task.model: _described(detector, task.model) for task in tasks}
    runs = {task.model: _Run(task, info) for task in tasks if isinstance(info := described[task.model], ModelInfo)}
    failed: dict[str, Outcome] = {
        model: info for model, info in described.items() if isinstance(info, UnusableInputError | UnavailableError)
    }
    if not runs:
        return failed
    sampler = Sampler(
        body,
        where=chunk.key,
        start_ms=round(chunk.start.timestamp() * 1000),
        duration_ms=chunk.duration_ms,
        wants=[_want(run) for run in runs.values()],
        max_batch_bytes=batch_bytes,
        threads=threads,
    )
    _look(sampler, runs, detector, chunk)
    telemetry.current().observe("stage_seconds", sampler.decode_s, stage="decode")
    telemetry.current().count("frames_in", sampler.held)
    total_ms = (time.perf_counter() - began) * 1000
    return failed | {
        model: _outcome(run, sampler, chunk, {**stages_ms, "total": total_ms}) for model, run in runs.items()
    }


def _described(detector: Detector, model: str) -> ModelInfo | UnusableInputError | UnavailableError:
    try:
        return detector.describe(model)
    except (UnusableInputError, UnavailableError) as error:
        return error


def _want(run: _Run) -> Want:
    return Want(
        model=run.info.name,
        fps=run.task.fps,
        long_side=run.info.long_side,
        max_batch=run.info.max_batch,
        keyframes_only=run.task.keyframes_only,
    )


def _look(sampler: Sampler, runs: Mapping[str, _Run], detector: Detector, chunk: ChunkRef) -> None:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="infer") as pool:
        flying: list[Future[None]] = []
        for batch in sampler:
            run = runs[batch.model]
            if run.failure is None:
                telemetry.current().observe("batch_frames", len(batch.frames), model=batch.model)
                flying.append(pool.submit(_infer, run, batch, detector, chunk))
            while len(flying) > MOST_IN_FLIGHT:
                flying.pop(0).result()
        for each in flying:
            each.result()


def _infer(run: _Run, batch: Batch, detector: Detector, chunk: ChunkRef) -> None:
    began = time.perf_counter()
    try:
        found = detector.detect(batch.model, batch.frames)
    except (UnusableInputError, UnavailableError) as error:
        run.failure = error
        return
    finally:
        run.infer_s += time.perf_counter() - began
    for offset_ms, boxes in zip(batch.offsets_ms, found, strict=True):
        at = chunk.start + timedelta(milliseconds=offset_ms)
        run.frames.append(FrameObjects(at=at, offset_ms=offset_ms, objects=tuple(_objects(boxes, run.task))))


def _objects(boxes: Sequence[Box], task: Task) -> Iterator[DetectedObject]:
    for box in boxes:
        if box.score >= task.min_score and (task.labels is None or box.label in task.labels):
            corners = {name: round(getattr(box, name), 5) for name in ("x0", "y0", "x1", "y1")}
            yield DetectedObject(label=box.label, score=round(box.score, 4), **corners)


def _outcome(run: _Run, sampler: Sampler, chunk: ChunkRef, stages_ms: Mapping[str, float]) -> Outcome:
    if run.failure is not None:
        return run.failure
    telemetry.current().observe("stage_seconds", run.infer_s, stage="infer")
    wanted = min(float(sampler.held), run.task.wanted_fps * chunk.duration_ms / 1000)
    telemetry.current().count("frames_wanted", max(wanted, len(run.frames)), model=run.info.name)
    telemetry.current().count("frames_looked_at", len(run.frames), model=run.info.name)
    found = sum(len(frame.objects) for frame in run.frames)
    telemetry.current().count("objects", found, camera=telemetry.current().camera(chunk.camera), model=run.info.name)
    timed = {**stages_ms, "decode": sampler.decode_s * 1000, "infer": run.infer_s * 1000}
    return ObjectsDetected(
        chunk=chunk,
        model=run.info.name,
        model_version=run.info.version,
        frames=tuple(run.frames),
        wanted_fps=run.task.wanted_fps,
        sampled_fps=round(len(run.frames) * 1000 / max(1, chunk.duration_ms), 3),
        keyframes_only=run.task.keyframes_only,
        width=sampler.width,
        height=sampler.height,
        whole=sampler.whole,
        stages_ms={name: round(value, 1) for name, value in timed.items()},
    )
