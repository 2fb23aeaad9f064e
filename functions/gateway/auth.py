"""Who asks, and what they may: nothing but health is answered without a token.

A token stands in the path, /t/<token>/…, where a player cannot send headers and relative addresses have to keep it,
or in `Authorization: Bearer <token>`. In the path it is taken off before anything else sees the path, so no route, log
line or metric can hold it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from flask import Flask, g, request

from functions.gateway.answers import Refused, not_found
from sluice.errors import InvalidNameError
from sluice.names import checked_camera
from sluice.tokens import Token, TokenBook

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OPEN: Final = ("/health/liveness", "/health/readiness")
PREFIX: Final = "/t/"
_SHOWN: Final = "sluice.token"
_BEARER: Final = "bearer "


class TokenInPath:
    """WSGI: /t/<token>/rest is /rest, asked for with that token."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Hand the request on."""
        path: str = environ.get("PATH_INFO", "")
        if path.startswith(PREFIX):
            token, slash, rest = path.removeprefix(PREFIX).partition("/")
            environ[_SHOWN] = token
            # The mount point, so that a redirect keeps the token.
            environ["SCRIPT_NAME"] = f"{environ.get('SCRIPT_NAME', '')}{PREFIX}{token}"
            environ["PATH_INFO"] = f"{slash}{rest}" or "/"
        return self._app(environ, start_response)


def guard(app: Flask, tokens: TokenBook) -> None:
    """Let nobody in without a token, at any route that is there or not."""

    @app.before_request
    def check() -> None:
        if request.path not in OPEN:
            g.token = _token_of_request(tokens)
        if request.path == "/metrics":
            require_admin_of_all()


def the_token() -> Token:
    """Of the request at hand."""
    token: Token = g.token
    return token


def authorized(camera: str, *, write: bool = False) -> str:
    """Return *camera* if the token covers it, else refuse; a foreign one is told from an unknown one by nobody."""
    token = the_token()
    try:
        checked_camera(camera)
    except InvalidNameError as error:
        raise Refused(400, str(error)) from error
    if not token.covers(camera):
        raise not_found()
    if write:
        writing()
    return camera


def writing() -> Token:
    """The token, if it may write, else refuse."""
    if not the_token().may_write:
        raise Refused(403, "this token may read only")
    return the_token()


def require_admin_of_all() -> Token:
    """The token, if it may do everything, else refuse."""
    if writing().cameras is not None:
        raise Refused(403, "this token covers some cameras only")
    return the_token()


def _token_of_request(tokens: TokenBook) -> Token:
    shown = request.environ.get(_SHOWN)
    if shown is None:
        header = request.headers.get("Authorization", "")
        shown = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else None
    token = None if shown is None else tokens.find(shown)
    if token is None:
        why = "expected a token, as /t/<token>/… or Authorization: Bearer <token>" if shown is None else "no such token"
        raise Refused(401, why, headers={"WWW-Authenticate": 'Bearer realm="sluice"'})
    return token
