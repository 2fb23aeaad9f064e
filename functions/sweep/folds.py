"""Functions that fold chunks into one object, which says how far they have come and what they still have to tell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from functions.sweep.marks import YOUNG_S, Promised, Stored
from sluice import names
from sluice.bus import Bus
from sluice.contracts.playlist import PlaylistUpdated
from sluice.fold import Cursor
from sluice.hls import live
from sluice.hls.current import current
from sluice.names import parse_chunk_key
from sluice.store import ObjectStore
from sluice.topology import RESULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a fold's state says of it."""

    cursor: Cursor | None
    untold: tuple[str, str] | None = None
    """Subject and id of what it told, or died before it could: the state keeps it until the write after."""


def _package(store: ObjectStore, camera: str) -> Folded:
    playlist = current(store, camera).playlist
    untold = live.note_of(playlist).untold
    message = (names.subject(PlaylistUpdated.KIND, camera), untold.event_id("package")) if untold else None
    return Folded(cursor=live.cursor_of(playlist), untold=message)


FOLDS: Final[Mapping[str, Callable[[ObjectStore, str], Folded]]] = {"package": _package}


def unfolded(
    function: str,
    camera: str,
    chunks: Sequence[Stored],
    promised: Promised,
    *,
    store: ObjectStore,
    bus: Bus,
    now_ms: int,
) -> tuple[list[Stored], Promised]:
    """The one chunk whose event makes the fold go on, if it stands still; one is enough, as a fold looks itself."""
    folded = FOLDS[function](store, camera)
    cursor = folded.cursor
    if cursor is None:
        lacking = [each for each in chunks if each.modified_ms >= promised.since_ms]
    else:
        promised = replace(promised, done=cursor.key)
        lacking = [each for each in chunks if cursor.accepts(each.name)]
        if not lacking and folded.untold and not _is_told(*folded.untold, bus):
            lacking = _stored(store, cursor.key)
    waiting = [each for each in lacking if now_ms - each.modified_ms >= YOUNG_S * 1000]
    newest = waiting[-1:]
    return newest, replace(promised, tries=promised.tries + len(newest))


def _is_told(subject: str, message_id: str, bus: Bus) -> bool:
    """Without a look, every camera that comes to rest would wake all functions once more, for nothing."""
    return bus.newest_id(subject, stream=RESULTS.name) == message_id


def _stored(store: ObjectStore, key: str) -> list[Stored]:
    found = next(iter(store.list(key)), None)
    if found is None or found.key != key:
        return []
    modified_ms = round(found.modified.timestamp() * 1000)
    return [Stored(name=parse_chunk_key(key), modified_ms=modified_ms, size_bytes=found.size_bytes, etag=found.etag)]
