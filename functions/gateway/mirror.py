"""The bucket's playlists, chunks and init segments under their own keys, so that relative addresses just work."""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import unquote_etag

from functions.gateway import sending
from functions.gateway.answers import not_found
from functions.gateway.auth import authorized
from functions.gateway.places import Places
from functions.gateway.settings import Services
from sluice.errors import InvalidNameError
from sluice.names import init_key, parse_chunk_key
from sluice.store import ObjectStore

PLAYLIST: Final = "application/vnd.apple.mpegurl"
VIDEO: Final = "video/mp4"
MAX_PLAYLIST_BYTES: Final = 4 << 20
BRIEFLY: Final = "private, max-age=1"
FOR_EVER: Final = "private, max-age=31536000, immutable"
"""Chunks and init segments never change; private, as a token lets one in."""
_WINDOW: Final = 2 << 20
"""Read from the store at once, so that memory is bounded by it and the number of places."""
_KNOWN: Final = 16_384
_LIVE: Final = re.compile(r"live-[1-9][0-9]?\.m3u8", re.ASCII)
_INIT: Final = re.compile(r"[0-9a-f]{8}\.mp4", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stat:
    """What a listing says of an object that never changes."""

    size: int
    etag: str


class Stats:
    """Of what was asked for last; a chunk is asked for by every viewer of its camera."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Stat] = OrderedDict()

    def of(self, key: str) -> Stat:
        """Raises Refused (404) if it is not there."""
        with self._lock:
            if found := self._known.get(key):
                self._known.move_to_end(key)
                return found
        listed = next(self._store.list(key), None)
        if listed is None or listed.key != key:
            raise not_found()
        stat = Stat(listed.size_bytes, listed.etag)
        with self._lock:
            self._known[key] = stat
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return stat

    def forget(self, key: str) -> None:
        """It is gone."""
        with self._lock:
            self._known.pop(key, None)


def blueprint(services: Services) -> Blueprint:
    """Routes that are the keys of objects."""
    routes = Blueprint("mirror", __name__)
    stats = Stats(services.store)
    places = Places(services.settings.downloads, "downloads")

    @routes.get("/hls/<camera>/<name>")
    def playlist(camera: str, name: str) -> Response:
        """A playlist as it is now: index.m3u8 names the live ones."""
        return _playlist(authorized(camera), name, services.store)

    @routes.get("/chunks/<camera>/<day>/<hour>/<name>")
    def chunk(camera: str, day: str, hour: str, name: str) -> Response:
        """A chunk, whole or by Range."""
        return sent(_chunk_key(f"chunks/{authorized(camera)}/{day}/{hour}/{name}"))

    @routes.get("/init/<camera>/<name>")
    def init(camera: str, name: str) -> Response:
        """An init segment, whole or by Range."""
        authorized(camera)
        if not _INIT.fullmatch(name):
            raise not_found()
        return sent(init_key(camera, name.removesuffix(".mp4")))

    def sent(key: str) -> Response:
        return _sent(key, services, stats, places)

    return routes


def _playlist(camera: str, name: str, store: ObjectStore) -> Response:
    if name != "index.m3u8" and not _LIVE.fullmatch(name):
        raise not_found()
    found = store.get(f"hls/{camera}/{name}", limit=MAX_PLAYLIST_BYTES)
    response = Response(found.body, content_type=PLAYLIST, headers={"Cache-Control": BRIEFLY})
    response.set_etag(found.etag)
    response.make_conditional(request)
    return response


def _chunk_key(key: str) -> str:
    try:
        return parse_chunk_key(key).key
    # A start of thirteen nines is a year that datetime does not know.
    except (InvalidNameError, OverflowError, ValueError, OSError) as error:
        raise not_found() from error


def _sent(key: str, services: Services, stats: Stats, places: Places) -> Response:
    if services.public is not None:
        url = services.public.presign(key, expires_s=services.settings.redirect_s)
        answer = Response(status=307, headers={"Location": url})
        # Half its life: who follows it from a cache must still be let in.
        answer.headers["Cache-Control"] = f"private, max-age={services.settings.redirect_s // 2}"
        return answer
    stat = stats.of(key)
    response = Response(content_type=VIDEO, headers={"Cache-Control": FOR_EVER, "Accept-Ranges": "bytes"})
    response.set_etag(stat.etag)
    if request.if_none_match.contains(stat.etag):
        response.status_code = 304
        del response.headers["Content-Type"]
        return response
    first, stop = _wanted(stat)
    if (first, stop) != (0, stat.size):
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {first}-{stop - 1}/{stat.size}"
    response.content_length = stop - first
    if request.method == "HEAD" or first == stop:
        return response
    return sending.stream(response, _pieces(key, first, stop, services, stats), places, services.settings)


def _wanted(stat: Stat) -> tuple[int, int]:
    """The bytes first..stop that are asked for; several ranges at once are answered whole, as RFC 9110 allows."""
    asked = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return 0, stat.size
    # Not request.if_range, which fails at a date that is none; by a date nothing here is unchanged (app.py).
    unchanged = request.headers.get("If-Range")
    if unchanged and unquote_etag(unchanged) != (stat.etag, False):
        return 0, stat.size
    first, stop = asked.ranges[0]
    # The last bytes: all of them where more are asked for than there are (werkzeug's range_for_length refuses those).
    first = max(stat.size + first, 0) if first < 0 else first
    if first >= stat.size:
        raise RequestedRangeNotSatisfiable(length=stat.size)
    return first, min(stat.size if stop is None else stop, stat.size)


def _pieces(key: str, first: int, stop: int, services: Services, stats: Stats) -> Iterator[bytes]:
    while first < stop:
        last = min(first + _WINDOW, stop) - 1
        try:
            body = services.store.get(key, first=first, last=last).body
        except Exception:
            stats.forget(key)
            raise
        yield body
        first = last + 1
