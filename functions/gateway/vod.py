"""Any range of a camera's recordings as a playlist: what a player opens to look back."""

from itertools import islice
from typing import Final

from flask import Blueprint, Response

from functions.gateway.answers import Refused
from functions.gateway.auth import authorized
from functions.gateway.openapi import describe
from functions.gateway.ranges import QUERY, Range, asked_range, nothing_recorded, now_ms
from functions.gateway.settings import Services
from sluice.hls.playlist import CONTENT_TYPE, render
from sluice.recordings.chunks import chunks_between
from sluice.recordings.vod import are_independent, init_sizes, playlist
from sluice.store import ObjectStore

MOST_S: Final = 24 * 3600
MOST_CHUNKS: Final = 50_000
"""Of a day; chunks of three seconds are 28,800."""
_SETTLED_MS: Final = 3_600_000
_SETTLED: Final = "private, max-age=60"
_RECENT: Final = "private, max-age=1"


def blueprint(services: Services) -> Blueprint:
    """The route; its playlists name chunks beside it, as the mirror serves them."""
    routes = Blueprint("vod", __name__)

    @routes.get("/vod/<camera>/index.m3u8")
    @describe(query=QUERY, media=CONTENT_TYPE)
    def vod(camera: str) -> Response:
        """What was recorded between `from` and `to`, at most a day."""
        name, span = authorized(camera), asked_range(most_s=MOST_S, what="a playlist")
        with services.searches:
            return _playlist(name, span, services.store)

    return routes


def _playlist(camera: str, asked: Range, store: ObjectStore) -> Response:
    chunks = list(islice(chunks_between(store, camera, asked.from_ms, asked.to_ms), MOST_CHUNKS + 1))
    if len(chunks) > MOST_CHUNKS:
        raise Refused(400, f"expected at most {MOST_CHUNKS} chunks in a playlist: ask for less at once")
    found = playlist(chunks, init_sizes(store, camera), independent=are_independent(store, chunks))
    if not found.entries:
        raise nothing_recorded(camera, asked)
    settled = asked.to_ms < now_ms() - _SETTLED_MS
    headers = {"Cache-Control": _SETTLED if settled else _RECENT}
    return Response(render(found), content_type=CONTENT_TYPE, headers=headers)
