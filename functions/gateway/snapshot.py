"""A picture of a camera as JPEG: the newest, or that of a time; one frame is decoded for it."""

from typing import Final

from flask import Blueprint, Response

from functions.gateway import asked
from functions.gateway.auth import authorized
from functions.gateway.openapi import describe
from functions.gateway.places import Places
from functions.gateway.ranges import nothing_recorded, shown_time
from functions.gateway.settings import Services
from sluice.fold import newest
from sluice.names import ChunkName
from sluice.picture import last_keyframe
from sluice.recordings.chunks import chunks_between
from sluice.store import ObjectStore
from sluice.video import MAX_BYTES

PICTURE: Final = "image/jpeg"
_NOW: Final = -1
_AT_ONCE: Final = 4
"""A chunk and its picture in memory, and a core for some milliseconds, each."""
_SHORTLY: Final = "private, max-age=2"


def blueprint(services: Services) -> Blueprint:
    """The route."""
    routes = Blueprint("snapshot", __name__)
    places = Places(_AT_ONCE, "pictures")

    @routes.get("/snapshot/<camera>.jpg")
    @describe(query={"at": "of this time, as 2026-11-21T12:00:05Z or Unix milliseconds; default: now"}, media=PICTURE)
    def snapshot(camera: str) -> Response:
        """The last keyframe until `at`; X-Sluice-Time says of when it is."""
        authorized(camera)
        at_ms = asked.time_ms("at", _NOW)
        with places:
            return _picture(camera, None if at_ms == _NOW else at_ms, services.store)

    return routes


def _picture(camera: str, at_ms: int | None, store: ObjectStore) -> Response:
    chunk = _chunk(camera, at_ms, store)
    if chunk is None:
        raise nothing_recorded(camera, "yet" if at_ms is None else f"at {shown_time(at_ms)}")
    body = store.get(chunk.key, limit=MAX_BYTES).body
    until_s = None if at_ms is None else (at_ms - chunk.start_ms) / 1000
    picture = last_keyframe(body, where=chunk.key, until_s=until_s)
    shown_ms = chunk.start_ms + round(picture.offset_s * 1000)
    headers = {"Cache-Control": _SHORTLY, "X-Sluice-Time": shown_time(shown_ms)}
    return Response(picture.jpeg, content_type=PICTURE, headers=headers)


def _chunk(camera: str, at_ms: int | None, store: ObjectStore) -> ChunkName | None:
    if at_ms is None:
        found = newest(store, camera)
        return found.name if found else None
    return next((each.name for each in chunks_between(store, camera, at_ms, at_ms + 1)), None)
