"""The numbers of a camera's chunks: kept in the bucket, changed by compare-and-swap alone.

What the state forgot, the keys of the chunks still say; they are found without walking days. The state names the
newest end that it knew, and a listing that starts shortly before it shows what came after: at most what was put since
the last checkpoint. Where no state is left, the newest key is found by halving the time in which it can lie, one page
of a listing each, about twenty in all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from sluice.errors import ConflictError, InvalidNameError, SluiceError, UnavailableError
from sluice.names import CHUNKS, ChunkName, least_chunk_key, parse_chunk_key, state_key
from sluice.states import read_state
from sluice.store import ObjectStore

FIRST: Final = 1
"""Of sessions and of seqs."""
MARGIN_MS: Final = 600_000
"""Listed before the newest end known: a machine whose clock is behind may go on there, with seqs of its own."""
_HOUR_MS: Final = 3_600_000
_EARLIEST_MS, _LATEST_MS = 0, 10**13 - 1  # what a key can say
_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a session begins with."""

    number: int
    next_seq: int
    floor_ms: int
    """Nothing of this session starts before: here the newest chunk ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The state object."""

    session: int = 0
    next_seq: int = FIRST
    floor_ms: int | None = None
    """The greatest end known when it was written; later starts shortly before it find everything."""


@dataclass
class FencedError(SluiceError):
    """Raised when a newer session has begun: readers ignore what this one still puts."""

    camera: str
    session: int
    newest: int

    def __str__(self) -> str:
        return f"camera {self.camera!r}: session {self.session} is over, session {self.newest} has begun elsewhere"


def start_session(store: ObjectStore, camera: str) -> Session:
    """Begin the next session, past every session and seq that state or keys know."""
    for _ in range(_TRIES):
        state, etag = read_state(store, "segmenter", camera, Numbering)
        began = _next(state, store, camera)
        state = Numbering(session=began.number, next_seq=began.next_seq, floor_ms=began.floor_ms)
        if _swapped(store, camera, state, etag):
            return began
    raise _contended(camera)


def checkpoint(store: ObjectStore, camera: str, *, session: int, next_seq: int, floor_ms: int) -> None:
    """Record how far the session came; raises FencedError when a newer one has begun."""
    for _ in range(_TRIES):
        state, etag = read_state(store, "segmenter", camera, Numbering)
        if state.session > session:
            raise FencedError(camera, session, state.session)
        reached = Numbering(
            session=session,
            next_seq=max(next_seq, state.next_seq),
            floor_ms=max(floor_ms, state.floor_ms or 0),
        )
        if reached == state or _swapped(store, camera, reached, etag):
            return
    raise _contended(camera)


def check_fence(store: ObjectStore, camera: str, *, session: int) -> None:
    """Raise FencedError when a newer session than *session* has begun."""
    state, _ = read_state(store, "segmenter", camera, Numbering)
    if state.session > session:
        raise FencedError(camera, session, state.session)


def newest_end_ms(store: ObjectStore, camera: str) -> int:
    """Where the camera's chunks end, Unix milliseconds; 0 when there are none."""
    state, _ = read_state(store, "segmenter", camera, Numbering)
    return max((name.end_ms for name in _newest(store, camera, state.floor_ms)), default=0)


def _next(state: Numbering, store: ObjectStore, camera: str) -> Session:
    seq, floor_ms, session = state.next_seq, state.floor_ms or 0, state.session
    # Not the last key alone: of two machines with different clocks, the greatest seq may stand before it.
    for name in _newest(store, camera, state.floor_ms):
        seq, floor_ms = max(seq, name.seq + 1), max(floor_ms, name.end_ms)
        session = max(session, name.session)  # a state that was lost must not fence what comes next
    return Session(number=session + 1, next_seq=seq, floor_ms=floor_ms)


def _newest(store: ObjectStore, camera: str, known_ms: int | None) -> Iterator[ChunkName]:
    near_ms = _last_hour(store, camera) if known_ms is None else known_ms
    return _names(store, camera, near_ms - MARGIN_MS)


def _last_hour(store: ObjectStore, camera: str) -> int:
    """The start of a chunk that no other follows by more than an hour."""
    first = next(_names(store, camera, _EARLIEST_MS), None)
    if first is None:
        return _EARLIEST_MS  # a new camera
    found_ms, nothing_ms = first.start_ms, _LATEST_MS
    while nothing_ms - found_ms > _HOUR_MS:
        middle_ms = (found_ms + nothing_ms) // 2
        first = next(_names(store, camera, middle_ms), None)
        if first is None:
            nothing_ms = middle_ms
        else:
            found_ms = max(middle_ms, first.start_ms)
    return found_ms


def _names(store: ObjectStore, camera: str, from_ms: int) -> Iterator[ChunkName]:
    """Chunks that start at *from_ms* or later, in order of key; what others put there is passed over."""
    for each in store.list(f"{CHUNKS}{camera}/", after=least_chunk_key(camera, min(from_ms, _LATEST_MS))):
        try:
            yield parse_chunk_key(each.key)
        except InvalidNameError:
            continue


def _swapped(store: ObjectStore, camera: str, state: Numbering, etag: str | None) -> bool:
    key, body = state_key("segmenter", camera), msgspec.json.encode(state)
    try:
        if etag is None:
            store.create(key, body)
        else:
            store.replace(key, body, etag=etag)
    except ConflictError:
        return False
    return True


def _contended(camera: str) -> UnavailableError:
    return UnavailableError("store", f"numbering of camera {camera!r}: others wrote first, {_TRIES} times")
