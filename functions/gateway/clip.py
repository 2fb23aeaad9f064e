"""A range of a camera's recordings as one MP4 file, made while it is sent."""

from datetime import UTC, datetime
from itertools import islice
from typing import Final

from flask import Blueprint, Response, request

from functions.gateway import sending
from functions.gateway.answers import Refused
from functions.gateway.auth import authorized
from functions.gateway.openapi import describe
from functions.gateway.places import Places
from functions.gateway.ranges import QUERY, Range, asked_range, nothing_recorded, shown_time
from functions.gateway.settings import Services
from sluice.recordings.chunks import chunks_between
from sluice.recordings.clip import Clip, SplitClipError, clip_of
from sluice.store import ObjectStore

MOST_S: Final = 2 * 3600
MOST_CHUNKS: Final = 10_000
VIDEO: Final = "video/mp4"
_SHARE: Final = 8
"""Of the places for downloads: a clip keeps one for minutes."""


def blueprint(services: Services) -> Blueprint:
    """The route."""
    routes = Blueprint("clip", __name__)
    places = Places(max(1, services.settings.downloads // _SHARE), "clips")

    @routes.get("/clip/<camera>.mp4")
    @describe(query=QUERY, media=VIDEO)
    def clip(camera: str) -> Response:
        """What was recorded between `from` and `to`, at most two hours, in whole chunks and without its holes."""
        name, span = authorized(camera), asked_range(most_s=MOST_S, what="a clip")
        with services.searches:
            found = _clip(name, span, services.store)
        response = Response(content_type=VIDEO, headers={"Cache-Control": "no-store", "Accept-Ranges": "none"})
        response.headers["Content-Disposition"] = f'attachment; filename="{_file_name(camera, found.start_ms)}"'
        response.content_length = found.size_bytes
        if request.method == "HEAD":
            return response
        return sending.stream(response, found.pieces(services.store), places, services.settings)

    return routes


def _clip(camera: str, asked: Range, store: ObjectStore) -> Clip:
    chunks = list(islice(chunks_between(store, camera, asked.from_ms, asked.to_ms), MOST_CHUNKS + 1))
    if len(chunks) > MOST_CHUNKS:
        raise Refused(400, f"expected at most {MOST_CHUNKS} chunks in a clip: ask for less at once")
    if not chunks:
        raise nothing_recorded(camera, asked)
    try:
        found = clip_of(store, chunks)
    except SplitClipError as error:
        parts = [{"from": shown_time(start), "to": shown_time(end)} for start, end in error.parts[:100]]
        raise Refused(409, str(error), details={"parts": parts}) from error
    if not found.chunks:
        raise nothing_recorded(camera, asked)
    return found


def _file_name(camera: str, start_ms: int) -> str:
    return f"{camera}-{datetime.fromtimestamp(start_ms / 1000, tz=UTC):%Y%m%dT%H%M%SZ}.mp4"
