"""What a process says of itself: metrics, and log lines as JSON that carry the trace of the event at hand.

Numbers are kept here and handed to prometheus_client when somebody asks: its import takes 50 ms, which every cold
start would pay for.
"""

import json
import logging
import os
import re
import secrets
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from sluice.metrics import ABOUT

BUCKETS: Final = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75,
    1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0,
)  # fmt: skip
MOST_CAMERAS: Final = 256
OTHERS: Final = "_others"
"""No camera is called so."""
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_context: ContextVar[dict[str, object]] = ContextVar("sluice_context", default={})  # noqa: B039 (never changed in place)

Series = tuple[str, tuple[tuple[str, str], ...]]


class Telemetry:
    """The metrics of one app, kept under names without the prefix sluice_."""

    def __init__(self, part: str) -> None:
        self.part = part
        self._lock = threading.Lock()
        self._counters: dict[Series, float] = {}
        self._gauges: dict[Series, float] = {}
        self._histograms: dict[Series, list[float]] = {}
        self._cameras: set[str] = set()

    def camera(self, name: str) -> str:
        """The label of a camera; of more than MOST_CAMERAS the later ones share one, as each label costs Prometheus."""
        with self._lock:
            if len(self._cameras) < MOST_CAMERAS:
                self._cameras.add(name)
            return name if name in self._cameras else OTHERS

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to the counter sluice_<name>_total."""
        series = self._series(name, labels)
        with self._lock:
            self._counters[series] = self._counters.get(series, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set the gauge sluice_<name>."""
        with self._lock:
            self._gauges[self._series(name, labels)] = value

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add to the histogram sluice_<name>."""
        series = self._series(name, labels)
        with self._lock:
            held = self._histograms.setdefault(series, [0.0] * (len(BUCKETS) + 2))
            held[bisect_left(BUCKETS, seconds)] += 1
            held[-1] += seconds

    def add_in_flight(self, change: int) -> None:
        """Count an event in (1) or out (-1)."""
        series = self._series("in_flight", {})
        with self._lock:
            self._gauges[series] = self._gauges.get(series, 0) + change

    def cold_start(self, to: str) -> None:
        """Note the time from the process's start to *to*, the first time it is reached."""
        series = self._series("cold_start_seconds", {"to": to})
        with self._lock:
            self._gauges.setdefault(series, uptime_s())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Observe the time that the block takes, however it ends."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.observe("stage_seconds", time.perf_counter() - start, stage=name)

    def render(self) -> tuple[bytes, str]:
        """Everything as Prometheus text, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """Give prometheus_client all that is held now."""
        from prometheus_client import core

        with self._lock:
            counters, gauges = dict(self._counters), dict(self._gauges)
            histograms = {series: list(held) for series, held in self._histograms.items()}
        families: dict[str, Any] = {}
        for (name, labels), number in (*counters.items(), *gauges.items()):
            kind = core.CounterMetricFamily if (name, labels) in counters else core.GaugeMetricFamily
            self._family(families, kind, name, labels).add_metric([v for _, v in labels], number)
        for (name, labels), held in histograms.items():
            totals = [sum(held[: n + 1]) for n in range(len(BUCKETS) + 1)]
            buckets = list(zip([*map(str, BUCKETS), "+Inf"], totals, strict=True))
            family = self._family(families, core.HistogramMetricFamily, name, labels)
            family.add_metric([v for _, v in labels], buckets, sum_value=held[-1])
        yield from families.values()

    def _family(self, families: dict[str, Any], kind: Callable[..., Any], name: str, labels: Any) -> Any:
        if name not in families:
            families[name] = kind(f"sluice_{name}", ABOUT.get(name, name), labels=[label for label, _ in labels])
        return families[name]

    def _series(self, name: str, labels: dict[str, str]) -> Series:
        return name, (("part", self.part), *sorted(labels.items()))


_active: ContextVar[Telemetry | None] = ContextVar("sluice_telemetry", default=None)
_newest: Telemetry = Telemetry("none")


def use(telemetry: Telemetry, *, newest: bool = False) -> None:
    """Make it what `current` gives here, and with *newest* also in threads that know of none."""
    global _newest  # noqa: PLW0603 (a thread that a library starts inherits no context)
    _active.set(telemetry)
    if newest:
        _newest = telemetry


def current() -> Telemetry:
    """The telemetry of the app at work."""
    return _active.get() or _newest


def stage(name: str) -> Any:
    """Observe the time that the block takes as sluice_stage_seconds{stage=name}, from anywhere in the process."""
    return current().stage(name)


def bind(**fields: object) -> None:
    """Add fields to every log line of this context: traceparent (shown as its trace), event, camera, key."""
    _context.set({**_context.get(), **fields})


def unbind() -> None:
    """Forget all fields: threads are used again for the next event."""
    _context.set({})


def traceparent(*offered: str | None) -> str:
    """The first that is offered and valid, else the one at hand, else a new one (W3C Trace Context)."""
    for text in (*offered, _context.get().get("traceparent")):
        if isinstance(text, str) and _TRACEPARENT.fullmatch(text):
            return text
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, part, message, what is bound, what the call gives as extra."""

    _PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def __init__(self, part: str = "") -> None:
        super().__init__()
        self._part = part

    def format(self, record: logging.LogRecord) -> str:
        """Render the record; nothing in it can break the line."""
        bound = dict(_context.get())
        trace = str(bound.pop("traceparent", "")).split("-")[1:2]
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": self._part or current().part,
            "message": record.getMessage(),
            **({"trace": trace[0]} if trace else {}),
            **bound,
            **{name: value for name, value in vars(record).items() if name not in self._PLAIN},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_lines(part: str = "", stream: TextIO | None = None) -> None:
    """Send every log line of this process to *stream* (stdout) as JSON, in place of what was set up before."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines(part))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _started() -> float:
    try:
        # proc(5): field 22, in ticks since boot; the name in field 2 may hold blanks and brackets.
        fields = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return _now()


_STARTED: Final = _started()
"""Read before gunicorn forks, so that a worker counts from the start of the whole."""


def uptime_s() -> float:
    """Seconds since the process was started, its interpreter's own start included."""
    return _now() - _STARTED
