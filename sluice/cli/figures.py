"""What events say of the last minute, in figures and tables. Pure: whoever calls knows the time and has the events."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sluice.contracts.chunk import ChunkRef, ChunkStored
from sluice.contracts.detection import ObjectsDetected
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected

MINUTE: Final = timedelta(minutes=1)
MOST: Final = 50_000
"""Events that are remembered: of 800 cameras with a chunk each 3 s, and three events a chunk."""
STAGES: Final = ("wait", "get", "decode", "infer", "total")
UNKNOWN: Final = "-"
STORED: Final = "stored"
"""No function: the chunk is there."""

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is remembered of an event."""

    at: datetime
    """When the stream took it."""
    camera: str
    function: str
    latency_ms: float
    """From the end of the chunk, so from its last frame, to the event."""
    model: str = ""
    seconds: float = 0.0
    """Of video."""
    frames: int | None = None
    """That were looked at; None: it looks at none."""
    wanted_fps: float = 0.0
    rejected: bool = False
    stages_ms: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A function, and model, in figures; None: nothing was seen that says so."""

    function: str
    model: str
    cameras: int
    chunks_per_s: float
    fps: float | None
    """Frames a second that were looked at, of all cameras."""
    wanted_fps: float | None
    dropped: float | None
    """The share of wanted frames that were not looked at."""
    rejected: int
    latency_p50_ms: float
    latency_p95_ms: float
    stages_p50_ms: dict[str, float]
    wait_p95_ms: float | None


def sample(event: Event[Any], *, at: datetime) -> Sample | None:
    """What the event tells; None when it is about no chunk."""
    chunk: ChunkRef | None = getattr(event.data, "chunk", None)
    if chunk is None:
        return None
    ended = chunk.start + timedelta(milliseconds=chunk.duration_ms)
    told = Sample(
        at=at,
        camera=chunk.camera,
        function=event.source.rpartition("/")[2],
        latency_ms=(event.time - ended).total_seconds() * 1000,
        seconds=chunk.duration_ms / 1000,
    )
    match event.data:
        case ChunkStored():
            return replace(told, function=STORED) if event.extensions.get("attempt", "0") == "0" else None
        case ObjectsDetected(model=model, frames=frames, wanted_fps=wanted_fps, stages_ms=stages_ms):
            return replace(told, model=model, frames=len(frames), wanted_fps=wanted_fps, stages_ms=stages_ms)
        case InputRejected():
            return replace(told, rejected=True)
        case _:
            return told


class LastMinute:
    """Samples, the oldest leaving."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=MOST)

    def add(self, event: Event[Any], *, at: datetime) -> None:
        """Remember it, if it is about a chunk."""
        if (found := sample(event, at=at)) is not None:
            self._samples.append(found)

    def chunks_per_s(self, now: datetime) -> dict[str, float]:
        """Stored chunks, by camera."""
        stored = [each.camera for each in self._recent(now) if each.function == STORED]
        return {camera: stored.count(camera) / MINUTE.total_seconds() for camera in sorted(set(stored))}

    def works(self, now: datetime) -> list[Work]:
        """Figures of each function and model that said something."""
        by_work: dict[tuple[str, str], list[Sample]] = {}
        for each in self._recent(now):
            if each.function != STORED:
                by_work.setdefault((each.function, each.model), []).append(each)
        return [_work(function, model, those) for (function, model), those in sorted(by_work.items())]

    def _recent(self, now: datetime) -> Iterator[Sample]:
        while self._samples and self._samples[0].at <= now - MINUTE:
            self._samples.popleft()
        return iter(self._samples)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least *share* of them do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _work(function: str, model: str, those: Sequence[Sample]) -> Work:
    looking = [each for each in those if each.frames is not None]
    frames = sum(each.frames or 0 for each in looking)
    wanted = sum(each.wanted_fps * each.seconds for each in looking)
    staged = [each.stages_ms for each in looking if each.stages_ms]
    waits = [each["wait"] for each in staged if "wait" in each]
    latencies = [each.latency_ms for each in those]
    return Work(
        function=function,
        model=model,
        cameras=len({each.camera for each in those}),
        chunks_per_s=len(those) / MINUTE.total_seconds(),
        fps=frames / MINUTE.total_seconds() if looking else None,
        wanted_fps=wanted / MINUTE.total_seconds() if looking else None,
        dropped=max(0.0, 1 - frames / wanted) if wanted else None,
        rejected=sum(each.rejected for each in those),
        latency_p50_ms=percentile(latencies, 0.5),
        latency_p95_ms=percentile(latencies, 0.95),
        stages_p50_ms={
            name: percentile([each[name] for each in staged if name in each], 0.5)
            for name in STAGES
            if any(name in each for each in staged)
        },
        wait_p95_ms=percentile(waits, 0.95) if waits else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """All that is shown at a moment."""

    at: datetime
    cameras: Mapping[str, Report]
    """As the segmenter tells."""
    chunks_per_s: Mapping[str, float]
    works: Sequence[Work]
    services: Mapping[str, Report]
    """As the local runtime tells."""
    pending: int | None
    notes: Sequence[str]

    def for_programs(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "at": self.at.isoformat(),
            "cameras": [
                {**self.cameras.get(name, {}), "camera": name, "chunks_per_s": self.chunks_per_s.get(name, 0.0)}
                for name in self._names()
            ],
            "works": [asdict(each) for each in self.works],
            "functions": [{"name": name, **each} for name, each in self.services.items()],
            "pending": self.pending,
            "notes": list(self.notes),
        }

    def lines(self) -> Iterator[str]:
        """As tables."""
        under_way = UNKNOWN if self.pending is None else self.pending
        yield f"{self.at:%Y-%m-%d %H:%M:%S} UTC   figures of the last minute   events under way: {under_way}"
        yield ""
        yield from columns(("CAMERA", "STATE", "FPS IN", "CHUNKS/S"), map(self._camera, self._names()))
        yield ""
        heads = ("FUNCTION", "CHUNKS/S", "FPS OUT", "WANTED", "DROPPED", "WAIT p95", "GET", "DECODE", "INFER")
        yield from columns((*heads, "LATENCY p50", "p95", "REJECTED"), map(_work_row, self.works))
        yield ""
        service_heads = ("SERVICE", "INSTANCES", "STARTING", "REQUESTS", "CRASHES")
        yield from columns(service_heads, (_service_row(name, each) for name, each in self.services.items()))
        yield from ("", *self.notes) if self.notes else ()

    def _names(self) -> list[str]:
        return sorted({*self.cameras, *self.chunks_per_s})

    def _camera(self, name: str) -> tuple[str, ...]:
        said = self.cameras.get(name, {})
        return name, str(said.get("state", UNKNOWN)), _number(said.get("fps")), _number(self.chunks_per_s.get(name, 0))


def columns(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    """Aligned: the first to the left, figures to the right."""
    table = [tuple(heads), *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()


def _work_row(work: Work) -> tuple[str, ...]:
    stages = (_ms(work.stages_p50_ms.get(name)) for name in ("get", "decode", "infer"))
    return (
        f"{work.function} {work.model}".strip(),
        _number(work.chunks_per_s),
        _number(work.fps),
        _number(work.wanted_fps),
        UNKNOWN if work.dropped is None else f"{work.dropped:.0%}",
        _ms(work.wait_p95_ms),
        *stages,
        _ms(work.latency_p50_ms),
        _ms(work.latency_p95_ms),
        str(work.rejected),
    )


def _service_row(name: str, said: Report) -> tuple[str, ...]:
    return (name, str(len(said["instances"])), *(str(said[each]) for each in ("starting", "requests", "crashes")))


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else UNKNOWN


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f} ms"
