"""The table of answers, at most so many events at once, health that always answers, metrics and log lines."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from sluice import events, process, telemetry
from sluice.contracts.chunk import ChunkInspected, ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import ConflictError, UnavailableError, UnusableInputError
from sluice.serving import function_app, part_app
from sluice.settings import ServingSettings
from tests.builders import a_chunk_stored, an_inspection

SETTINGS = ServingSettings(concurrency=2, max_event_bytes=4096)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CAUSE = a_chunk_stored()
CAUSE = replace(CAUSE, extensions={**CAUSE.extensions, "traceparent": TRACE})
HEADERS, BODY = events.to_http(CAUSE)


def serving(handle: Callable[[Event[Any]], Event[Any] | None]) -> FlaskClient:
    return function_app(handle, part="inspect", accepts=ChunkStored, settings=SETTINGS).test_client()


def posted(client: FlaskClient, headers: dict[str, str] | None = None, body: bytes = BODY) -> TestResponse:
    return client.post("/", data=body, headers=HEADERS if headers is None else headers)


def raising(error: Exception) -> Callable[[Event[Any]], None]:
    def fail(_event: Event[Any]) -> None:
        raise error

    return fail


def down() -> str | None:
    raise UnavailableError("nats", "down")


def inspect(event: Event[ChunkStored]) -> Event[ChunkInspected]:
    return events.answer(event, an_inspection(event.data.chunk), function="inspect")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the log says."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(telemetry.JsonLines())
    logger = logging.getLogger("sluice")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_nothing_to_say_is_204() -> None:
    """Without a body, and without a content type that would promise one."""
    answer = posted(serving(lambda _event: None))

    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers


def test_an_event_is_answered_with_an_event() -> None:
    """In binary mode; a broker takes any other body on 2xx for a failed delivery."""
    answer = posted(serving(inspect))

    event = events.from_http(dict(answer.headers), answer.data, ChunkInspected)
    assert answer.status_code == 200
    assert event.data == an_inspection(CAUSE.data.chunk)
    assert event.extensions == CAUSE.extensions


def test_the_handler_gets_the_event_that_was_sent() -> None:
    """In either mode."""
    seen: list[Event[Any]] = []
    client = serving(seen.append)

    posted(client)
    posted(client, {"content-type": events.STRUCTURED}, events.to_structured(CAUSE))

    assert seen == [CAUSE, CAUSE]


def test_unusable_input_is_an_answer() -> None:
    """200 with input.rejected: acknowledged, visible, and not tried again."""
    answer = posted(serving(raising(UnusableInputError("an mp4", "a poem", CAUSE.data.chunk.key))))

    event = events.from_http(dict(answer.headers), answer.data, InputRejected)
    assert answer.status_code == 200
    assert event.data == InputRejected(
        part="inspect", where=CAUSE.data.chunk.key, expected="an mp4", found="a poem", chunk=CAUSE.data.chunk
    )


def test_what_is_no_event_is_400_and_says_why() -> None:
    """The sender is at fault, and is told of what."""
    answer = posted(serving(inspect), body=b"{}")

    assert answer.status_code == 400
    assert answer.json == {
        "expected": "the data of dev.sluice.chunk.stored.v1",
        "found": "Object missing required field `chunk`",
        "where": "data",
    }


def test_a_batch_is_415() -> None:
    """It is never asked for."""
    answer = posted(serving(inspect), {"content-type": "application/cloudevents-batch+json"}, b"[]")

    assert answer.status_code == 415
    assert (answer.json or {})["where"] == "content-type"


def chunked(stream: object) -> dict[str, object]:
    """What gunicorn makes of a request with Transfer-Encoding: chunked."""
    return {"wsgi.input": stream, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large_is_413(told: bool) -> None:
    """Whether its length is told beforehand or not; memory stays bounded."""
    body = b" " * (SETTINGS.max_event_bytes + 1)
    request: dict[str, Any] = {"data": body} if told else {"environ_overrides": chunked(io.BytesIO(body))}

    answer = serving(inspect).post("/", headers=HEADERS, **request)

    assert answer.status_code == 413
    assert answer.is_json


def test_a_body_that_breaks_off_is_400() -> None:
    """Whatever the server raises while it reads is the sender's fault, not a bug."""

    class Broken(io.RawIOBase):
        def readinto(self, _buffer: object) -> int:
            raise RuntimeError("no chunk size")

        def readable(self) -> bool:
            return True

    answer = serving(inspect).post("/", headers=HEADERS, environ_overrides=chunked(Broken()))

    assert answer.status_code == 400
    assert (answer.json or {})["where"] == "body"


def test_what_may_work_later_is_503() -> None:
    """The broker tries again, not at once."""
    answer = posted(serving(raising(UnavailableError("store", "no answer in 10 s"))))

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json == {"error": "UnavailableError: store is unavailable: no answer in 10 s"}


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), ConflictError("state", "an etag")])
def test_anything_else_is_500_with_its_type(error: Exception) -> None:
    """A bug: tried again, then dead-lettered with this text."""
    answer = posted(serving(raising(error)))

    assert answer.status_code == 500
    assert answer.json == {"error": f"{type(error).__name__}: {error}"}


def test_an_answer_that_cannot_be_written_is_500() -> None:
    """The handler's bug, whoever notices it."""
    answer = posted(serving(lambda event: replace(event, id="")))

    assert answer.status_code == 500


@pytest.mark.parametrize(("method", "path", "code"), [("GET", "/", 405), ("GET", "/poem", 404)])
def test_another_route_is_refused_in_json(method: str, path: str, code: int) -> None:
    """No page of a web framework reaches a broker."""
    answer = serving(inspect).open(path, method=method)

    assert answer.status_code == code
    assert answer.is_json


def test_more_events_than_may_be_at_once_are_503_while_health_answers() -> None:
    """At most settings.concurrency handlers; the next is told to come again, and gets in once one is done."""
    entered, go = threading.Semaphore(0), threading.Event()

    def work(_event: Event[Any]) -> None:
        entered.release()
        assert go.wait(10)

    app = function_app(work, part="inspect", accepts=ChunkStored, settings=SETTINGS)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(posted(app.test_client()).status_code))
        for _ in range(SETTINGS.concurrency)
    ]
    for thread in threads:
        thread.start()
        assert entered.acquire(timeout=10)

    busy = posted(app.test_client()).status_code
    health = [app.test_client().get(f"/health/{kind}").status_code for kind in ("liveness", "readiness")]
    scraped = app.test_client().get("/metrics").text
    go.set()
    for thread in threads:
        thread.join(10)

    assert (busy, health, answers) == (503, [204, 204], [204, 204])
    assert 'sluice_in_flight{part="inspect"} 2.0' in scraped
    assert posted(app.test_client()).status_code == 204


def test_a_failed_event_leaves_its_place_to_the_next() -> None:
    """However it fails."""
    client = serving(raising(ZeroDivisionError()))

    assert {posted(client).status_code for _ in range(5)} == {500}
    assert {posted(client, body=b"").status_code for _ in range(5)} == {400}


@pytest.mark.parametrize(
    ("ready", "code", "body"),
    [
        (None, 204, None),
        (lambda: None, 204, None),
        (lambda: "no stream", 503, {"reason": "no stream"}),
        (down, 503, {"reason": "nats is unavailable: down"}),
    ],
)
def test_readiness_says_why_not(ready: Any, code: int, body: object) -> None:
    """204, or 503 with the reason; liveness does not care."""
    client = part_app("bridge", SETTINGS, ready=ready).test_client()

    answer = client.get("/health/readiness")

    assert (answer.status_code, answer.json if body else None) == (code, body)
    assert client.get("/health/liveness").status_code == 204


def test_metrics_tell_answers_errors_stages_and_starts() -> None:
    """One registry an app, under the names that dashboards know."""

    def work(event: Event[ChunkStored]) -> Event[ChunkInspected]:
        with telemetry.stage("decode"):
            return inspect(event)

    client = serving(work)
    client.get("/health/readiness")
    posted(client)
    posted(client, body=b"")

    text = client.get("/metrics").text

    for expected in (
        'sluice_requests_total{code="200",part="inspect"} 1.0',
        'sluice_requests_total{code="400",part="inspect"} 1.0',
        'sluice_errors_total{kind="invalid",part="inspect"} 1.0',
        'sluice_stage_seconds_count{part="inspect",stage="decode"} 1.0',
        'sluice_stage_seconds_bucket{le="60.0",part="inspect",stage="decode"} 1.0',
        'sluice_handle_seconds_count{part="inspect"} 2.0',
        'sluice_cold_start_seconds{part="inspect",to="ready"}',
        'sluice_cold_start_seconds{part="inspect",to="first-answer"}',
        'sluice_in_flight{part="inspect"} 0.0',
    ):
        assert expected in text


def test_apps_of_one_process_do_not_share_numbers() -> None:
    """What one counts the other does not show."""
    one, other = serving(inspect), serving(inspect)

    posted(one)

    assert "sluice_requests_total{" not in other.get("/metrics").text


def test_a_log_line_tells_which_event_and_trace(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """One line an answer, and nothing of it stays bound to the thread."""
    posted(serving(inspect))
    logging.getLogger("sluice").info("afterwards")

    answered, afterwards = lines()
    took, when = answered.pop("duration_ms"), answered.pop("time")
    assert took >= 0
    assert when.endswith("+00:00")
    assert answered == {
        "level": "info",
        "part": "inspect",
        "message": "answered dev.sluice.chunk.inspected.v1",
        "trace": TRACE.split("-")[1],
        "event": CAUSE.id,
        "camera": "gate",
        "key": CAUSE.data.chunk.key,
    }
    assert "event" not in afterwards


def test_a_bug_is_logged_with_its_traceback_on_one_line(lines: Callable[[], list[dict[str, Any]]]) -> None:
    """And with the event that hit it."""
    posted(serving(raising(ZeroDivisionError("two\nlines"))))

    [line] = lines()
    assert (line["level"], line["event"]) == ("error", CAUSE.id)
    assert "ZeroDivisionError" in line["traceback"]


@pytest.mark.parametrize("offered", ["extension", "header", "neither", "broken"])
def test_the_trace_goes_on_in_the_answer(offered: str) -> None:
    """From the event's extension, else the request's header, else made anew; never something malformed."""
    headers = {name: text for name, text in HEADERS.items() if name != "ce-traceparent"}
    headers |= {
        "extension": {"ce-traceparent": TRACE, "traceparent": TRACE.replace("4b", "aa")},
        "header": {"traceparent": TRACE},
        "neither": {},
        "broken": {"ce-traceparent": "00-no-trace-00", "traceparent": TRACE.upper()},
    }[offered]

    answer = posted(serving(inspect), headers)

    trace = answer.headers["ce-traceparent"]
    assert telemetry.traceparent(trace) == trace
    assert (trace == TRACE) == (offered in ("extension", "header"))


def test_everything_is_closed_even_if_one_fails() -> None:
    """The order is the given one."""
    closed: list[str] = []

    def fail() -> None:
        closed.append("first")
        raise OSError("gone already")

    class Worker:
        wsgi = function_app(
            inspect,
            part="inspect",
            accepts=ChunkStored,
            settings=SETTINGS,
            close=[fail, lambda: closed.append("second")],
        )

    process.close_all(None, Worker())

    assert closed == ["first", "second"]
