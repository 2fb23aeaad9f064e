"""The one loop of every function that keeps state: load it, apply what comes next, compare and swap, tell.

An event is a hint to look: what is applied is what the bucket has next, so events that are late, doubled, reordered
or lost change nothing but time. Two at once are told apart by the store alone. What a state has to tell stands in it
until the write after, so that no death between the write and the telling loses it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

from sluice import events, names, telemetry
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkRef
from sluice.contracts.envelope import Event
from sluice.errors import ConflictError, InvalidNameError, UnavailableError
from sluice.names import CHUNKS, ChunkName
from sluice.store import ObjectStore

S = TypeVar("S")

TRIES: Final = 20
"""Somebody else wrote first, or a state needs several writes; then the Broker may try again."""
FAR_MS: Final = 3_600_000
"""What lies further before the event than this is history, and nothing that still has to be applied in order."""
MOST_LISTED: Final = 5000
"""In one look; what is beyond comes with the next event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A chunk that a fold may apply."""

    name: ChunkName
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a fold has come."""

    next_seq: int
    session: int
    end_ms: int
    key: str
    """Of the chunk that was applied last."""

    @classmethod
    def after(cls, name: ChunkName) -> "Cursor":
        """The cursor when *name* was applied last."""
        return cls(next_seq=name.seq + 1, session=name.session, end_ms=name.end_ms, key=name.key)

    def accepts(self, name: ChunkName) -> bool:
        """Whether the chunk may still be applied; what may not is late: no state has it, recordings do."""
        return name.session >= self.session and name.seq >= self.next_seq and name.start_ms >= self.end_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Held(Generic[S]):
    """A fold's state as it was loaded, or as it is to be written."""

    state: S
    etag: str | None = None
    """Of the object that was loaded; None when there is none."""
    cursor: Cursor | None = None
    """None when nothing was applied yet."""
    pending: Sequence[Event[Any]] = ()
    """What has to be told of it."""
    more: bool = False
    """To be written, and then to be looked at again at once."""


class Folding(Protocol[S]):
    """What a function folds; knows where its state is."""

    def load(self) -> Held[S]:
        """The state as it is."""
        ...

    def apply(self, held: Held[S], inputs: Sequence[Input]) -> Held[S]:
        """The state with the inputs, in order, and what there is to tell of them; never what the one before told."""
        ...

    def write(self, state: S, etag: str | None) -> None:
        """Write it in place of the one that was loaded; raises ConflictError."""
        ...


def fold(chunk: ChunkRef, folding: Folding[S], *, store: ObjectStore, bus: Bus) -> tuple[S, Event[Any] | None]:
    """Bring the state up to what the bucket has; returns it, and the last that was told of it, if anything was."""
    told: Event[Any] | None = None
    for _ in range(TRIES):
        with telemetry.stage("load"):
            held = folding.load()
        _tell(bus, held.pending)
        inputs = _inputs(chunk, held.cursor, store)
        if not (inputs or held.pending):
            return held.state, told
        grown = folding.apply(held, inputs)
        try:
            with telemetry.stage("write"):
                folding.write(grown.state, held.etag)
        except ConflictError:
            telemetry.current().count("fold_conflicts")
            continue
        _tell(bus, grown.pending)
        told = grown.pending[-1] if grown.pending else told
        if not grown.more:
            return grown.state, told
    raise UnavailableError("fold", f"{TRIES} times somebody else wrote the state of {chunk.camera} first")


def in_order(cursor: Cursor | None, found: Iterable[Input]) -> Iterator[Input]:
    """What is applied of the chunks *found*: by seq, the highest session of each, and nothing that is late."""
    best: dict[int, Input] = {}
    for each in found:
        held = best.get(each.name.seq)
        if cursor is not None and not cursor.accepts(each.name):
            continue
        if held is None or held.name.session < each.name.session:
            best[each.name.seq] = each
    for seq in sorted(best):
        each = best[seq]
        if cursor is None or cursor.accepts(each.name):
            cursor = Cursor.after(each.name)
            yield each


def newest(store: ObjectStore, camera: str) -> Input | None:
    """The camera's newest chunk, found by its folders: nothing else is listed.

    None also while another session has its number or a later one: the lost state may have known that one by it.
    """
    for day in sorted(store.folders(f"{CHUNKS}{camera}/"), reverse=True):
        for hour in sorted(store.folders(day), reverse=True):
            found = list(_listed(store, hour))
            if found:
                last = max(found, key=lambda each: (each.name.session, each.name.seq))
                taken = any(each.name.seq >= last.name.seq for each in found if each is not last)
                return None if taken else last
    return None


def _inputs(chunk: ChunkRef, cursor: Cursor | None, store: ObjectStore) -> Sequence[Input]:
    name = names.parse_chunk_key(chunk.key)
    if cursor is None:
        found = newest(store, name.camera)
        return [found] if found else []
    if name.seq == cursor.next_seq and chunk.size_bytes and cursor.accepts(name):
        return [Input(name=name, size_bytes=chunk.size_bytes)]
    with telemetry.stage("list"):
        after = max(cursor.key, names.least_chunk_key(name.camera, name.start_ms - FAR_MS))
        return list(in_order(cursor, islice(_listed(store, f"{CHUNKS}{name.camera}/", after), MOST_LISTED)))


def _listed(store: ObjectStore, prefix: str, after: str = "") -> Iterator[Input]:
    for each in store.list(prefix, after=after):
        try:
            yield Input(name=names.parse_chunk_key(each.key), size_bytes=each.size_bytes)
        except InvalidNameError:
            continue  # no chunk of ours


def _tell(bus: Bus, pending: Sequence[Event[Any]]) -> None:
    for event in pending:
        headers, payload = events.to_nats(event)
        with telemetry.stage("publish"):
            bus.publish(names.subject(event.data.KIND, event.subject), payload, message_id=event.id, headers=headers)
