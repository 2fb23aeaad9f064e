"""Numbers and lines: what a process says of itself."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from sluice import telemetry
from sluice.telemetry import Telemetry

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def rendered(metrics: Telemetry) -> list[str]:
    return metrics.render()[0].decode().splitlines()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    logger.handlers.clear()  # otherwise log_lines would close those of the test runner
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_counters_add_up_by_labels() -> None:
    """Each set of labels is a series of its own."""
    metrics = Telemetry("bridge")

    metrics.count("ignored", reason="size")
    metrics.count("ignored", 2, reason="size")
    metrics.count("ignored", reason="suffix")

    assert 'sluice_ignored_total{part="bridge",reason="size"} 3.0' in rendered(metrics)
    assert 'sluice_ignored_total{part="bridge",reason="suffix"} 1.0' in rendered(metrics)


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A value on a bound is within it; one over the last is in +Inf alone."""
    metrics = Telemetry("detect")

    for seconds in (0.001, 0.0011, 61):
        metrics.observe("handle_seconds", seconds)

    lines = rendered(metrics)
    assert 'sluice_handle_seconds_bucket{le="0.001",part="detect"} 1.0' in lines
    assert 'sluice_handle_seconds_bucket{le="0.002",part="detect"} 2.0' in lines
    assert 'sluice_handle_seconds_bucket{le="60.0",part="detect"} 2.0' in lines
    assert 'sluice_handle_seconds_bucket{le="+Inf",part="detect"} 3.0' in lines
    assert 'sluice_handle_seconds_sum{part="detect"} 61.0021' in lines


def test_nothing_is_lost_between_threads() -> None:
    """Handlers count at the same time."""
    metrics = Telemetry("detect")

    def work() -> None:
        for _ in range(2000):
            metrics.count("frames")

    threads = [threading.Thread(target=work) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 'sluice_frames_total{part="detect"} 8000.0' in rendered(metrics)


def test_a_stage_is_observed_from_anywhere_and_however_it_ends() -> None:
    """Also in a thread that some library started, and when the work fails."""
    metrics = Telemetry("detect")
    telemetry.use(metrics, newest=True)

    def fail() -> None:
        with pytest.raises(ZeroDivisionError), telemetry.stage("decode"):
            raise ZeroDivisionError

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()

    assert 'sluice_stage_seconds_count{part="detect",stage="decode"} 2.0' in rendered(metrics)


def test_a_cold_start_happens_once() -> None:
    """The first time counts, from the start of the process."""
    metrics = Telemetry("detect")

    before = telemetry.uptime_s()
    metrics.cold_start("ready")
    first = rendered(metrics)
    metrics.cold_start("ready")

    [line] = [line for line in first if line.startswith("sluice_cold_start_seconds{")]
    assert before <= float(line.split()[-1]) <= telemetry.uptime_s()
    assert rendered(metrics) == first


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        TRACE.upper(),
        TRACE + "-more",
        TRACE + "\n",
        TRACE.replace("00-", "ff-", 1),
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)
def test_a_malformed_trace_is_replaced(text: str | None) -> None:
    """By the next that is offered, by the one at hand, or by a new one that is valid."""
    telemetry.unbind()

    made = telemetry.traceparent(text)

    assert made != text
    assert telemetry.traceparent(made) == made
    assert telemetry.traceparent(text, TRACE) == TRACE


def test_the_trace_at_hand_goes_into_what_is_made_meanwhile() -> None:
    """Until it is unbound."""
    telemetry.bind(traceparent=TRACE)
    within = telemetry.traceparent()
    telemetry.unbind()

    assert within == TRACE
    assert telemetry.traceparent() != TRACE


def test_every_line_is_one_json_object(root: logging.Logger) -> None:
    """Whatever is logged, by whomever; what is bound stands in each."""
    stream = io.StringIO()
    telemetry.use(Telemetry("inspect"))
    telemetry.log_lines(stream=stream)
    telemetry.bind(traceparent=TRACE, camera="gate")

    logging.getLogger("some.library").warning("two\nlines of %s", '"text"', extra={"bytes": b"\xff"})
    telemetry.unbind()

    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line.pop("time")
    assert line == {
        "level": "warning",
        "part": "inspect",
        "message": 'two\nlines of "text"',
        "trace": TRACE.split("-")[1],
        "camera": "gate",
        "bytes": "b'\\xff'",
    }
