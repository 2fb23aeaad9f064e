"""The watch page: a camera's live picture with what was found in it; files of its own, and nothing from elsewhere."""

import hashlib
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, request

from functions.gateway.answers import Refused, not_found
from functions.gateway.auth import authorized
from functions.gateway.settings import Services

PAGE: Final = Path(__file__).parent / "page"
BUILT: Final = "hls.mjs"
"""Comes from npm when the page is built; all else here is ours."""
FILES: Final = {
    "sluice.css": "text/css; charset=utf-8",
    **dict.fromkeys(
        ("watch.mjs", "player.mjs", "pace.mjs", "overlay.mjs", "detections.mjs", "feed.mjs", "clock.mjs", BUILT),
        "text/javascript; charset=utf-8",
    ),
}
_REASONS: Final = {
    401: "This link is no longer good: it has expired or was withdrawn. Ask whoever gave it to you for a new one.",
    404: "There is no such camera, or this link is not for it.",
    503: "The gateway cannot reach its storage. Try again in a moment.",
}
_SAID: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light"><title>Sluice</title></head>
<body><main><h1>No picture</h1><p role="alert">{reason}</p></main></body></html>
"""


def blueprint(services: Services) -> Blueprint:
    """The page, and the files that it is made of."""
    routes = Blueprint("watch", __name__)
    policy = content_security_policy(services.settings.redirect_url)

    @routes.get("/watch/<camera>")
    def watch(camera: str) -> Response:
        """A camera's live picture in a browser, with boxes around what was found."""
        authorized(camera)
        return _page("watch.html", "text/html; charset=utf-8")

    @routes.get("/page/<name>")
    def file(name: str) -> Response:
        """What the page is made of."""
        if name not in FILES:
            raise not_found()
        return _page(name, FILES[name])

    @routes.after_app_request
    def protect(response: Response) -> Response:
        if not request.path.startswith("/watch/"):
            return response
        if response.status_code >= 400:
            response = _in_words(response)
        response.headers["Content-Security-Policy"] = policy
        return response

    return routes


def content_security_policy(redirect_url: str) -> str:
    """Nothing but our own files runs; where chunks are read from the store, the page may ask it."""
    store = urlsplit(redirect_url)
    elsewhere = f" {store.scheme}://{store.netloc}" if store.netloc else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"connect-src 'self'{elsewhere}",
            # What hls.js feeds to the picture is a MediaSource of its own.
            "media-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _page(name: str, content_type: str) -> Response:
    body, etag = _read(name)
    response = Response(body, content_type=content_type, headers={"Cache-Control": "private, no-cache"})
    response.set_etag(etag)
    response.make_conditional(request)
    return response


@lru_cache(maxsize=len(FILES) + 1)
def _read(name: str) -> tuple[bytes, str]:
    try:
        body = (PAGE / "built" / name if name == BUILT else PAGE / name).read_bytes()
    except FileNotFoundError as error:
        raise Refused(503, "the page was not built: make page") from error
    return body, hashlib.sha256(body).hexdigest()[:32]


def _in_words(response: Response) -> Response:
    """For people: the same status, and a sentence in place of JSON."""
    if "text/html" not in request.headers.get("Accept", ""):
        return response
    reason = _REASONS.get(response.status_code, f"That did not work (status {response.status_code}).")
    response.set_data(_SAID.format(reason=escape(reason)))
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response
