"""What was found, by time: read from the result objects, which hold all there ever was and outlive a wiped stream.

Their names sort by the time of the video, so a range is a listing from its beginning to its end, and an answer that
is full says where the next one begins.
"""

import heapq
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from functions.gateway import asked
from functions.gateway.answers import Refused
from functions.gateway.openapi import describe
from functions.gateway.settings import Services
from sluice import events
from sluice.errors import InvalidNameError, ObjectNotFoundError, UnusableInputError
from sluice.names import ResultName, parse_result_key
from sluice.refill import folders
from sluice.store import ObjectStore

KINDS: Final = ("detections", "health", "rejected")
"""What result objects hold; of all else only the stream knows."""
MAX_EVENTS: Final = 1000
MAX_LOOKED_AT: Final = 2000
"""Objects read for one answer: a rare label must not keep a thread for minutes."""
MAX_OBJECT_BYTES: Final = 4 << 20
MAX_ANSWER_BYTES: Final = 4 << 20
"""Of events in one answer, before the last: as objects they take many times that."""
HOUR_MS: Final = 3_600_000
_READERS: Final = 8
_FOLDERS_S: Final = 30.0
_LONGEST_MS: Final = 100_000
"""Of a chunk: five digits of milliseconds. One that began before the range may reach into it."""
_QUERY: Final = {
    "camera": "only of this camera; may be given again",
    "kind": "detections, health or rejected; may be given again",
    "label": "only detections with such an object; may be given again",
    "from": "from this time of the video on, as 2026-11-21T12:00:05Z or Unix milliseconds; default: `to` less an hour",
    "to": "before this time; default: now",
    "cursor": "what was in `next`, beside the same query: goes on behind that answer",
    "limit": f"at most so many, up to {MAX_EVENTS}; default 100",
}
_ANSWER: Final = {
    "type": "object",
    "properties": {
        "events": {"type": "array", "items": {"type": "object"}, "description": "CloudEvents, the oldest first"},
        "next": {"type": ["integer", "null"], "description": "`cursor` of the next answer; null: that was all"},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for."""

    cameras: tuple[str, ...] | None
    kinds: tuple[str, ...]
    labels: frozenset[str]
    from_ms: int
    to_ms: int
    begun_ms: int
    """Only of chunks that begin then or later: what was on the page before may reach into this one."""
    limit: int


class Folders:
    """The folders of results; listing them costs a request each, so it is done now and then."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: tuple[tuple[str, str], ...] = ()
        self._until = 0.0

    def of(self, cameras: tuple[str, ...] | None) -> list[str]:
        """Those of the cameras; None: of all."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = tuple(folders(self._store))
                self._until = time.monotonic() + _FOLDERS_S
            return [folder for folder, camera in self._known if cameras is None or camera in cameras]


def blueprint(services: Services) -> Blueprint:
    """One route."""
    routes = Blueprint("events", __name__)
    known = Folders(services.store)
    pool = ThreadPoolExecutor(_READERS, thread_name_prefix="events")

    @routes.get("/api/events")
    @describe(query=_QUERY, answer=_ANSWER)
    def search() -> ResponseReturnValue:
        """What functions said of the video of a time, the oldest first."""
        query = _query()
        with services.searches:
            found = islice(_results(query, known.of(query.cameras), services.store), MAX_LOOKED_AT + 1)
            return jsonify(_answer(query, list(found), services.store, pool))

    return routes


def _query() -> Query:
    to_ms = asked.time_ms("to", int(time.time() * 1000))
    from_ms = asked.time_ms("from", max(to_ms - HOUR_MS, 0))
    if from_ms >= to_ms:
        raise Refused(400, f"from: expected a time before `to`, found {from_ms} and {to_ms}")
    begun_ms = asked.time_ms("cursor", 0)
    labels = frozenset(asked.names("label"))
    kinds = asked.names("kind", KINDS) or (("detections",) if labels else KINDS)
    limit = asked.number("limit", default=100, most=MAX_EVENTS)
    return Query(
        cameras=asked.cameras(),
        kinds=kinds,
        labels=labels,
        from_ms=from_ms,
        to_ms=to_ms,
        begun_ms=begun_ms,
        limit=limit,
    )


def _results(query: Query, places: list[str], store: ObjectStore) -> Iterator[ResultName]:
    """Names of results, by the start of their chunks."""
    wanted = [folder for folder in places if _may_hold(folder, query.kinds)]
    return heapq.merge(*(_folder(folder, query, store) for folder in wanted), key=lambda name: name.chunk.start_ms)


def _may_hold(folder: str, kinds: tuple[str, ...]) -> bool:
    """A rejection is among the results of each function."""
    work = folder.split("/")[1]
    return "rejected" in kinds or ("health" if work == "inspect" else "detections") in kinds


def _folder(folder: str, query: Query, store: ObjectStore) -> Iterator[ResultName]:
    begin = time.gmtime(max(query.from_ms - _LONGEST_MS, query.begun_ms, 0) // 1000)
    for listed in store.list(folder, after=f"{folder}{time.strftime('%Y-%m-%d/%H', begin)}/"):
        try:
            name = parse_result_key(listed.key)
        except (InvalidNameError, OverflowError, ValueError):
            continue
        if name.chunk.start_ms >= query.to_ms:
            return
        if name.chunk.end_ms > query.from_ms and name.chunk.start_ms >= query.begun_ms:
            yield name


def _answer(query: Query, names: list[ResultName], store: ObjectStore, pool: ThreadPoolExecutor) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    last_ms, size_bytes = -1, 0
    rest = names[MAX_LOOKED_AT:]
    looked_at = [name for name in names if not rest or name.chunk.start_ms < rest[0].chunk.start_ms] or names
    for start in range(0, len(looked_at), 2 * _READERS):
        some = looked_at[start : start + 2 * _READERS]
        for name, body in zip(some, pool.map(lambda name: _read(name, store), some), strict=True):
            event = _parsed(body)
            if event is None or not _is_wanted(event, query):
                continue
            full = len(found) >= query.limit or size_bytes >= MAX_ANSWER_BYTES
            # Several may begin at one time: an answer ends between two times, or the rest would be left out.
            if full and name.chunk.start_ms != last_ms:
                return {"events": found, "next": name.chunk.start_ms}
            found.append(event)
            last_ms, size_bytes = name.chunk.start_ms, size_bytes + len(body)
    return {"events": found, "next": rest[0].chunk.start_ms if rest else None}


def _read(name: ResultName, store: ObjectStore) -> bytes:
    try:
        return store.get(name.key, limit=MAX_OBJECT_BYTES).body
    except (ObjectNotFoundError, UnusableInputError):
        return b""  # retention was faster, or it is nothing of ours


def _parsed(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_wanted(event: dict[str, Any], query: Query) -> bool:
    contract = events.CONTRACTS.get(str(event.get("type")))
    if contract is None or contract.KIND not in query.kinds:
        return False
    return not query.labels or bool(query.labels & _labels(event))


def _labels(event: dict[str, Any]) -> set[str]:
    try:
        return {found["label"] for frame in event["data"]["frames"] for found in frame["objects"]}
    except (KeyError, TypeError):
        return set()
