"""What is handed in over HTTP: announcements of a store that knows webhooks alone, and a Broker's dead letters."""

import hashlib
import hmac
import logging
from typing import Final

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from sluice import telemetry
from sluice.bus import Bus
from sluice.errors import UnusableInputError
from triggers.bridge import deadletters

INTAKE_SUBJECT: Final = "sluice.intake.sure"

log = logging.getLogger(__name__)


def add(app: Flask, *, bus: Bus, token: str) -> None:
    """Add both routes; without a *token* no announcement is taken."""

    @app.post("/webhook")
    def webhook() -> Response:
        if not _is_let_in(request.headers.get("Authorization", ""), token):
            return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            _announce(bus, request.get_data(cache=False))
        except (RequestEntityTooLarge, UnusableInputError) as error:
            # MinIO tries one announcement until it gets a 2xx, for ever, and all others wait behind it.
            telemetry.current().count("bridge_ignored", reason="size")
            log.error("an announcement is too large to be one: %s", error)  # noqa: TRY400 (no traceback for a stranger's body)
        return _done()

    @app.post("/deadletter")
    def dead_letter() -> Response:
        try:
            deadletters.keep(dict(request.headers), request.get_data(cache=False), bus=bus)
        except UnusableInputError as error:
            telemetry.current().count("bridge_ignored", reason="size")
            log.error("a dead letter is lost: %s", error)  # noqa: TRY400 (as above)
            return Response(status=413)
        return _done()


def _announce(bus: Bus, body: bytes) -> None:
    bus.publish(INTAKE_SUBJECT, body, message_id=hashlib.sha256(body).hexdigest())


def _is_let_in(authorization: str, token: str) -> bool:
    """Compare in constant time, so that the answer's delay tells nothing of the token."""
    scheme, _, offered = authorization.partition(" ")
    same = hmac.compare_digest(offered.strip().encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and same


def _done() -> Response:
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response
