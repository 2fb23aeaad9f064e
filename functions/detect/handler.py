"""What the camera's models see in a chunk.

in    ChunkStored (activity: not idle)
out   ObjectsDetected for each model, or InputRejected; the reply carries the first model's, NATS has all
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from functions.detect.analysis import Outcome, Task, analysed
from functions.detect.load import Effort, effort
from functions.detect.settings import DetectSettings
from sluice import telemetry
from sluice.bus import Bus
from sluice.cameras import find
from sluice.cameras.works import works_of
from sluice.contracts.camera import Camera, Work
from sluice.contracts.chunk import ChunkRef, ChunkStored
from sluice.contracts.envelope import Event
from sluice.inference import Detector
from sluice.once import answer_each
from sluice.store import ObjectStore

FUNCTION: Final = "detect"


def handle(
    event: Event[ChunkStored], *, store: ObjectStore, bus: Bus, detector: Detector, settings: DetectSettings
) -> Event[Any] | None:
    """Look at the chunk with every model that has no result yet."""
    began, chunk = datetime.now(UTC), event.data.chunk
    waited_s = max(0.0, (began - event.time).total_seconds()) if event.time else 0.0
    telemetry.current().observe("queue_age_seconds", waited_s)
    camera = find(store, chunk.camera)
    tasks = {
        task.model: task
        for work in works_of(camera, FUNCTION)
        if (task := _task(work, camera, effort(waited_s, late_s=settings.late_s), settings))
    }

    def look(chunk: ChunkRef, body: bytes, models: Sequence[str]) -> Mapping[str, Outcome]:
        behind_ms = (began - chunk.start).total_seconds() * 1000 - chunk.duration_ms
        return analysed(
            chunk,
            body,
            [tasks[model] for model in models],
            detector=detector,
            batch_bytes=settings.batch_bytes,
            threads=settings.threads,
            stages_ms={"wait": max(0.0, behind_ms), "get": (time.time() - began.timestamp()) * 1000},
        )

    answers = answer_each(event, look, function=FUNCTION, models=tuple(tasks), store=store, bus=bus)
    return answers[0] if answers else None


def _task(work: Work, camera: Camera | None, given: Effort, settings: DetectSettings) -> Task:
    wanted_fps = work.fps or settings.fps
    return Task(
        model=work.model or "",
        fps=wanted_fps * given.share,
        wanted_fps=wanted_fps,
        keyframes_only=given.keyframes_only or (camera is not None and camera.keyframes_only),
        labels=work.labels,
        min_score=work.min_score or 0.0,
    )
