"""Wire the gateway: `python -m sluice.serving functions.gateway.app`; every module named below offers a blueprint."""

import importlib
import importlib.util
import logging
import re
from dataclasses import replace
from typing import Any, Final

from flask import Flask, Request, Response, request

from functions.gateway.answers import answer_errors
from functions.gateway.auth import TokenInPath, guard
from functions.gateway.settings import GatewaySettings, Services, checked
from sluice import serving
from sluice.bus import NatsBus
from sluice.settings import BusSettings, ServingSettings, StoreSettings, load_all
from sluice.store import S3Store
from sluice.tokens import TokenBook

PART: Final = "gateway"
BLUEPRINTS: Final = (
    "mirror",
    "vod",
    "clip",
    "snapshot",
    "timeline",
    "api",
    "events",
    "stream",
    "status",
    "openapi",
    "watch",
)
"""Modules beside this one; each has `blueprint(services: Services) -> flask.Blueprint`."""
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
_SENT: Final = "Authorization, Content-Type, If-None-Match, Last-Event-ID, Range"
_READ: Final = "Content-Length, Content-Range, ETag, Retry-After"
_A_DAY_S: Final = "86400"
_TOKEN_IN_PATH: Final = re.compile(r"/t/[^/\s\"'?]+")


def create_app() -> Any:
    """The Flask app that gunicorn serves; nothing is connected before the first request."""
    stored, messaged, served, mine = load_all(StoreSettings, BusSettings, ServingSettings, GatewaySettings)
    checked(mine, served)
    store, bus = S3Store(stored), NatsBus(messaged, name=PART)
    public = S3Store(replace(stored, url=mine.redirect_url)) if mine.redirect_url else None
    services = Services(store=store, public=public, bus=bus, settings=mine, tokens=TokenBook(store))
    app = gateway_app(services, served)
    for handler in logging.getLogger().handlers:
        handler.addFilter(without_tokens)
    return app


def gateway_app(services: Services, served: ServingSettings) -> Flask:
    """Every blueprint that is there, behind the guard."""
    app = serving.part_app(PART, served, close=(services.bus.close,))
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of Flask's own provider, which ours is
    app.before_request(_forget_date)
    guard(app, services.tokens)
    _share(app, services.settings)
    answer_errors(app)
    for name in BLUEPRINTS:
        module = f"{__package__}.{name}"
        if importlib.util.find_spec(module):
            app.register_blueprint(importlib.import_module(module).blueprint(services))
    app.wsgi_app = TokenInPath(app.wsgi_app)  # type: ignore[method-assign]  # Flask's way to add middleware
    return app


def without_tokens(record: logging.LogRecord) -> bool:
    """Take tokens out of a log line: gunicorn quotes a request that it cannot read."""
    text = record.getMessage()
    if "/t/" in text:
        record.msg, record.args = _TOKEN_IN_PATH.sub("/t/***", text), ()
    return True


def _forget_date() -> None:
    """No answer says when it changed, so a condition on that holds for none (RFC 9110, 13.1.3).

    Werkzeug would read it all the same, and fails at numbers that no date has (`1 Jan 99999999999999999999`).
    """
    request.environ.pop("HTTP_IF_MODIFIED_SINCE", None)


def _share(app: Flask, settings: GatewaySettings) -> None:
    """Cross-origin requests, from the pages that the setting names; a preflight shows no token, and gets no data."""
    allowed = {origin.strip() for origin in settings.cors_origins.split(",")} - {""}

    def shares(asked: Request) -> bool:
        return "*" in allowed or asked.headers.get("Origin", "") in allowed

    def preflight() -> Response | None:
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or not wanted or not shares(request):
            return None
        headers = {"Allow-Methods": _METHODS, "Allow-Headers": _SENT, "Max-Age": _A_DAY_S}
        return Response(status=204, headers={f"Access-Control-{name}": text for name, text in headers.items()})

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        response.headers.setdefault("Cache-Control", "no-store")
        if allowed:
            response.headers.add("Vary", "Origin")
        if shares(request) and "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = _READ
        return response

    # Before the guard, which a preflight cannot pass.
    app.before_request_funcs[None].insert(1, preflight)
