"""Long answers: each takes a place, and a viewer who does not read is given up."""

import itertools
import socket
from collections.abc import Iterable, Iterator
from typing import Final

from flask import Response, request

from functions.gateway.places import Places
from functions.gateway.settings import GatewaySettings

_PIECE: Final = 128 << 10
"""Handed to the socket at once: what a slow viewer must have read within stall_s."""


def stream(response: Response, body: Iterator[bytes], places: Places, settings: GatewaySettings) -> Response:
    """Let *response* send *body*; its first piece is made here, so that what fails still has a status."""
    if request.method == "HEAD":
        return response  # takes no time, so it needs no place
    places.take()
    try:
        first = next(body, b"")
    except BaseException:
        places.leave()
        raise
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is not None:
        # Of one piece: whoever takes none for so long is given up.
        connection.settimeout(settings.stall_s)
    response.response = _cut(itertools.chain([first], body))
    response.call_on_close(places.leave)
    return response


def _cut(body: Iterable[bytes]) -> Iterator[bytes]:
    for each in body:
        for start in range(0, len(each), _PIECE):
            yield each[start : start + _PIECE]
