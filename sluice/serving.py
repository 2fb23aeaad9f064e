"""A handler as a web app, and the one process that serves it: `python -m sluice.serving functions.inspect.app`.

None                 204
an event             200  the event, in binary mode: a broker counts any other body on 2xx as a failed delivery
UnusableInputError   200  input.rejected
InvalidEventError    400  (415 for a batch, 413 for a body that is too large)
UnavailableError     503  also when as many events as may be are being handled
anything else        500
"""

import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from flask import Flask, Request, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sluice import events, process, telemetry
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import InvalidEventError, SettingsError, UnavailableError, UnusableInputError
from sluice.settings import ServingSettings, load

Handle = Callable[[Event[Any]], Event[Any] | None]
Ready = Callable[[], str | None]
"""Says why not, or None."""
Closers = Sequence[Callable[[], None]]

_QUIET: Final = ("/health/", "/metrics")

log = logging.getLogger("sluice.serving")


class WholeRequest(Request):
    """A request whose body is read whole or not at all."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """As its parent, which cuts a chunked body off at the limit without a word (werkzeug 3.1, LimitedStream)."""
        try:
            data = super().get_data(*args, **kwargs)
        except HTTPException:
            raise
        except Exception as error:  # gunicorn's body errors share no base class, and all are the sender's
            raise InvalidEventError("a whole body", repr(error), "body") from error
        # The limit is set one byte too high, so that what is cut off shows.
        if len(data) >= (self.max_content_length or 0):
            raise RequestEntityTooLarge
        return data


def part_app(part: str, settings: ServingSettings, *, ready: Ready | None = None, close: Closers = ()) -> Flask:
    """Make an app with health, metrics and the table above; *close* runs after the last answer."""
    app = Flask(part, static_folder=None)
    app.request_class = WholeRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_event_bytes + 1
    metrics = telemetry.Telemetry(part)
    telemetry.use(metrics, newest=True)
    metrics.count("errors", 0, kind="bug")  # the first is an increase only if there was a number before
    app.extensions["sluice"] = {"telemetry": metrics}
    app.extensions[process.CLOSERS] = tuple(close)
    _observe(app, metrics)
    _answer_errors(app)
    _add_health(app, metrics, ready)
    return app


def function_app(handle: Handle, *, part: str, accepts: type, settings: ServingSettings, close: Closers = ()) -> Flask:
    """Make an app that hands every event posted to / to *handle*, at most settings.concurrency at once."""
    app = part_app(part, settings, close=close)
    metrics: telemetry.Telemetry = app.extensions["sluice"]["telemetry"]
    free = threading.Semaphore(settings.concurrency)

    @app.post("/")
    def handle_event() -> Response:
        # Taken before the body is read: a slow sender must not hold the threads that answer for health.
        if not free.acquire(blocking=False):
            raise UnavailableError(part, f"{settings.concurrency} at work already")
        metrics.add_in_flight(1)
        try:
            return _handled(handle, part, accepts, metrics)
        finally:
            metrics.add_in_flight(-1)
            free.release()

    return app


def _handled(handle: Handle, part: str, accepts: type, metrics: telemetry.Telemetry) -> Response:
    cause: Event[Any] = events.from_http(dict(request.headers), request.get_data(cache=False), accepts)
    trace = telemetry.traceparent(cause.extensions.get("traceparent"))
    cause = replace(cause, extensions={**cause.extensions, "traceparent": trace})
    chunk = getattr(cause.data, "chunk", None)
    telemetry.bind(traceparent=trace, event=cause.id, camera=cause.subject)
    telemetry.bind(**({"key": chunk.key} if chunk else {}))
    try:
        answer = handle(cause)
    except UnusableInputError as error:
        metrics.count("errors", kind="unusable")
        log.warning("rejected: %s", error)
        rejection = InputRejected(part=part, where=error.where, expected=error.expected, found=error.found, chunk=chunk)
        answer = events.answer(cause, rejection, function=part)
    metrics.cold_start("first-answer")
    duration_ms = round((time.perf_counter() - g.start) * 1000, 1)
    if answer is None:
        log.info("nothing to say", extra={"duration_ms": duration_ms})
        return _empty()
    headers, body = events.to_http(replace(answer, extensions={"traceparent": trace, **answer.extensions}))
    log.info("answered %s", answer.type, extra={"duration_ms": duration_ms})
    return Response(body, 200, headers)


def _empty(status: int = 204) -> Response:
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def _observe(app: Flask, metrics: telemetry.Telemetry) -> None:
    @app.before_request
    def begin() -> None:
        telemetry.use(metrics)
        telemetry.unbind()
        telemetry.bind(traceparent=telemetry.traceparent(request.headers.get("traceparent")))
        g.start = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        if not request.path.startswith(_QUIET):
            metrics.count("requests", code=str(response.status_code))
            metrics.observe("handle_seconds", time.perf_counter() - g.start)
        return response

    @app.teardown_request
    def forget(_error: BaseException | None) -> None:
        telemetry.unbind()


def _answer_errors(app: Flask) -> None:
    def refused(error: InvalidEventError) -> tuple[Response, int]:
        telemetry.current().count("errors", kind="invalid")
        log.error("refused: %s", error)
        body = jsonify(expected=error.expected, found=error.found, where=error.where)
        return body, 415 if events.is_batch(dict(request.headers)) else 400

    def later(error: UnavailableError) -> tuple[Response, int, dict[str, str]]:
        telemetry.current().count("errors", kind="unavailable")
        log.warning("later: %s", error)
        return jsonify(error=f"UnavailableError: {error}"), 503, {"Retry-After": "1"}

    def no_such(error: HTTPException) -> tuple[Response, int]:
        telemetry.current().count("errors", kind="http")
        return jsonify(error=f"{type(error).__name__}: {error.description}"), error.code or 500

    def bug(error: Exception) -> tuple[Response, int]:
        telemetry.current().count("errors", kind="bug")
        log.error("failed: %s: %s", type(error).__name__, error, exc_info=error)
        return jsonify(error=f"{type(error).__name__}: {error}"), 500

    app.register_error_handler(InvalidEventError, refused)
    app.register_error_handler(UnavailableError, later)
    app.register_error_handler(HTTPException, no_such)
    app.register_error_handler(Exception, bug)


def _add_health(app: Flask, metrics: telemetry.Telemetry, ready: Ready | None) -> None:
    @app.get("/health/liveness")
    def liveness() -> Response:
        return _empty()

    @app.get("/health/readiness")
    def readiness() -> Response | tuple[Response, int]:
        try:
            reason = ready() if ready else None
        except UnavailableError as error:
            reason = str(error)
        if reason is not None:
            return jsonify(reason=reason), 503
        metrics.cold_start("ready")
        return _empty()

    @app.get("/metrics")
    def scrape() -> Response:
        text, content_type = metrics.render()
        return Response(text, content_type=content_type)


def serve(module: str, settings: ServingSettings) -> None:
    """Serve *module*:create_app() until SIGTERM; running events are answered first."""
    # Here, not above: part_app does without, and so do the tests of every handler.
    from gunicorn.app.base import BaseApplication
    from gunicorn.glogging import Logger

    class Lines(Logger):  # type: ignore[misc]  # gunicorn gives no types
        def setup(self, cfg: Any) -> None:
            super().setup(cfg)
            for each in (self.error_log, self.access_log):
                each.handlers.clear()
                each.propagate = True

    class Server(BaseApplication):  # type: ignore[misc]  # as above
        def load_config(self) -> None:
            for name, value in process.gunicorn_settings(settings, logger=Lines).items():
                self.cfg.set(name, value)

        def load(self) -> Flask:
            try:
                app: Flask = importlib.import_module(module).create_app()
            except SettingsError as error:
                log.critical("%s", error)
                sys.exit(process.BOOT_FAILED)
            return app

    Server().run()


def main() -> None:
    """Start the part named on the command line; SettingsError ends it with status 1."""
    [module] = sys.argv[1:] or sys.exit("usage: python -m sluice.serving MODULE")
    # gunicorn's own lines bear the part's name too, before there is an app.
    telemetry.use(telemetry.Telemetry(module.removesuffix(".app").rpartition(".")[2]), newest=True)
    telemetry.log_lines()
    mine = os.getpid()
    try:
        serve(module, load(ServingSettings))
    except SettingsError as error:
        log.critical("%s", error)
        sys.exit(1)
    except SystemExit as end:
        # A worker leaves through here too, and has to keep its status: after any other gunicorn starts one more.
        boot_failed = os.getpid() == mine and end.code == process.BOOT_FAILED
        sys.exit(1 if boot_failed else end.code)


if __name__ == "__main__":
    main()
