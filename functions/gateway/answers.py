"""What a viewer is told when it cannot be done: a status and one reason as JSON, and nothing of the inside."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from sluice import telemetry
from sluice.cameras import InvalidCameraError
from sluice.errors import ConflictError, InvalidNameError, ObjectNotFoundError, UnavailableError, UnusableInputError

log = logging.getLogger("sluice.gateway")


@dataclass
class Refused(Exception):  # noqa: N818 (an answer, as HTTPException is)
    """Raised by a route to answer with a status and a reason."""

    status: int
    reason: str
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """More for programs, beside `error`."""


def not_found() -> Refused:
    """The same for what is not there and what is not this token's."""
    return Refused(404, "not there, or not for this token")


def full(what: str, *, retry_after_s: int = 2) -> Refused:
    """The answer when all places are taken."""
    return Refused(503, f"as many {what} as may be are under way", headers={"Retry-After": str(retry_after_s)})


def answer_errors(app: Flask) -> None:
    """Say each of our errors in HTTP, in place of what an event's sender is told."""
    app.register_error_handler(Refused, refused)
    app.register_error_handler(InvalidNameError, lambda error: refused(Refused(400, str(error))))
    app.register_error_handler(ObjectNotFoundError, lambda _: refused(not_found()))
    app.register_error_handler(ConflictError, lambda _: refused(Refused(409, "somebody else changed it meanwhile")))
    app.register_error_handler(UnusableInputError, lambda error: refused(Refused(422, str(error))))
    app.register_error_handler(InvalidCameraError, _invalid_camera)
    app.register_error_handler(UnavailableError, _later)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _bug)


def refused(error: Refused) -> Response:
    """The answer that *error* is."""
    if error.status >= 500:
        telemetry.current().count("errors", kind="refused")
    response = jsonify(error=error.reason, **error.details)
    response.status_code = error.status
    response.headers.update(error.headers)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _invalid_camera(error: InvalidCameraError) -> Response:
    problems = [problem._asdict() for problem in error.problems]
    return refused(Refused(422, "no camera can be as described", details={"problems": problems}))


def _later(error: UnavailableError) -> Response:
    log.warning("later: %s", error)
    return refused(Refused(503, f"{error.service} does not answer, try again", headers={"Retry-After": "1"}))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {name: text for name, text in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    if status == 404:
        return refused(not_found())
    return refused(Refused(status, error.description or error.name, headers=headers))


def _bug(error: Exception) -> Response:
    telemetry.current().count("errors", kind="bug")
    log.error("failed: %s: %s", type(error).__name__, error, exc_info=error)
    trace = telemetry.traceparent().split("-")[1]
    return refused(Refused(500, "our fault", details={"trace": trace}))
