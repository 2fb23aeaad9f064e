"""Events as they come, as server-sent events: a client that was cut off goes on where it was.

An event's id here is its place on the stream, as <microseconds>-<stream>.<number>: the time finds it again even in a
stream that was wiped and counts from one. What somebody was sent last may come once more, and nothing is left out.
"""

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint, Response, request

from functions.gateway import asked, sending
from functions.gateway.answers import Refused
from functions.gateway.auth import authorized
from functions.gateway.openapi import describe
from functions.gateway.places import Places
from functions.gateway.settings import Services
from sluice import events
from sluice.bus import Message
from sluice.errors import InvalidEventError, UnavailableError
from sluice.following import follow
from sluice.selection import kinds, streams_of
from sluice.topology import RESULTS, Stream

EVENT_STREAM: Final = "text/event-stream"
WAIT_S: Final = 0.5
RETRY_MS: Final = 500
APART: Final = timedelta(seconds=1)
"""By so much one stream may be read later than the other."""
_ID: Final = re.compile(r"([0-9]{1,17})-([a-z]+)\.([0-9]{1,19})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_QUERY: Final = {
    "camera": "only of this camera; may be given again",
    "kind": "detections, health, rejected …; may be given again. Without: every kind of result",
    "after": "an id to go on behind, where the header Last-Event-ID cannot be sent",
}

log = logging.getLogger("sluice.gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where on a stream a message lies."""

    at: datetime
    stream: str
    seq: int

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // _MICROSECOND}-{self.stream}.{self.seq}"

    def covers(self, message: Message) -> bool:
        """True if whoever was sent this place was sent the message, too."""
        if _short(message.stream) == self.stream:
            return message.stored_at <= self.at and message.stream_seq <= self.seq
        return message.stored_at < self.at - APART


def place_of(message: Message) -> Place:
    """Of a message on a stream."""
    return Place(at=message.stored_at, stream=_short(message.stream), seq=message.stream_seq)


def parse_place(text: str) -> Place:
    """Read an id that we gave; raises Refused for any other."""
    found = _ID.fullmatch(text)
    if not found:
        raise Refused(400, f"Last-Event-ID: expected an id of this stream, found {text[:80]!r}")
    return Place(at=_EPOCH + int(found[1]) * _MICROSECOND, stream=found[2], seq=int(found[3]))


def blueprint(services: Services) -> Blueprint:
    """One route, with a bounded number of places."""
    routes = Blueprint("stream", __name__)
    places = Places(services.settings.streams, "event streams")

    @routes.get("/api/events/stream")
    @describe(media=EVENT_STREAM, query=_QUERY)
    def stream() -> Response:
        """Events as they come, as server-sent events with CloudEvents as JSON; Last-Event-ID goes on where one was."""
        wanted = _wanted()
        last = request.headers.get("Last-Event-ID") or request.args.get("after")
        place = parse_place(last) if last else None
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = Response(content_type=EVENT_STREAM, headers=headers)
        return sending.stream(response, _lines(wanted, place, services), places, services.settings)

    return routes


def _wanted() -> dict[Stream, tuple[str, ...]]:
    every = kinds()
    chosen = asked.names("kind", every) or tuple(kind for kind in every if f"sluice.v1.{kind}.*" in RESULTS.subjects)
    cameras = asked.cameras()
    for camera in cameras or ():
        authorized(camera)
    return streams_of(chosen, cameras or ())


def _lines(wanted: dict[Stream, tuple[str, ...]], place: Place | None, services: Services) -> Iterator[bytes]:
    yield f"retry: {RETRY_MS}\n: open\n\n".encode()
    settings = services.settings
    since = place.at - APART if place else datetime.now(UTC)
    flow = follow(services.bus, wanted, since=since, lost=_lost, wait_s=min(WAIT_S, settings.heartbeat_s))
    end = time.monotonic() + settings.stream_s
    told = time.monotonic()
    for message in flow:
        if message is not None and not (place and place.covers(message)) and (line := _line(message)):
            yield line
            told = time.monotonic()
        elif time.monotonic() - told >= settings.heartbeat_s:
            yield b": still here\n\n"
            told = time.monotonic()
        if time.monotonic() >= end:
            return


def _line(message: Message) -> bytes:
    """One event; nothing for what is none, which nobody can use."""
    try:
        attributes = events.peek(message.headers, message.payload)
        kind = events.CONTRACTS.get(attributes["type"])
        if kind is None:
            return b""
        body = events.to_structured(events.from_nats(message.headers, message.payload, kind))
    except InvalidEventError as error:
        log.warning("unreadable on %s: %s", message.subject, error)
        return b""
    return f"id: {place_of(message)}\ndata: ".encode() + body + b"\n\n"


def _lost(error: UnavailableError) -> None:
    log.warning("the stream waits: %s", error)


def _short(stream: str) -> str:
    return stream.rpartition("_")[2].lower()
