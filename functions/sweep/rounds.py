"""One round of a camera: its chunks beside the marks of each work, and what is announced again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from functions.sweep.folds import FOLDS, unfolded
from functions.sweep.marks import DEEP_EVERY, LATE_MS, Promised, Stored, SweepState, advanced, attempt, missing
from functions.sweep.promises import STATE, Promise
from sluice import events, names, telemetry
from sluice.bus import Bus
from sluice.cameras import find
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.errors import InvalidNameError
from sluice.names import CHUNKS, least_chunk_key, parse_chunk_key, parse_result_key
from sluice.references import reference
from sluice.states import keep_state, read_state
from sluice.store import ObjectStore

FUNCTION: Final = "sweep"
SURE: Final = "sluice.intake.sure"
MOST_CHUNKS: Final = 5000
"""Of a camera in a round: four hours. What is beyond waits for the next, as the watermark moves on."""
MOST_ANNOUNCED: Final = 500
"""Of a camera in a round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round of one camera did."""

    looked_at: int
    announced: int


def sweep_camera(
    name: str, promises: Sequence[Promise], *, store: ObjectStore, bus: Bus, bucket: str, now_ms: int
) -> Round:
    """Announce what is missing; raises UnavailableError. Two at once announce under the same ids."""
    state, etag = read_state(store, FUNCTION, name, SweepState)
    camera = find(store, name)
    works = {work: each for each in promises if _has_mark(each) for work in each.works(camera)}
    held = {work: state.works.get(work) or Promised(since_ms=now_ms) for work in works}
    chunks = list(_chunks(store, name, _from(name, held, state.round, now_ms)))
    late: dict[str, Stored] = {}
    for work, promise in works.items():
        mine = [each for each in chunks if promise.covers(each.name)]
        if promise.mark == STATE:
            lacking, held[work] = unfolded(work, name, mine, held[work], store=store, bus=bus, now_ms=now_ms)
            late |= {each.name.key: each for each in lacking}
            continue
        done = _done(store, work, name, mine)
        lacking = missing(mine, done, held[work], now_ms=now_ms)
        late |= {each.name.key: each for each in lacking}
        reached = advanced(mine, done, held[work], now_ms=now_ms)
        held[work] = replace(held[work], done=reached, tries=held[work].tries + len(lacking))
    announced = sorted(late.values(), key=lambda each: each.name.key)[:MOST_ANNOUNCED]
    for each in announced:
        announce(each, bus=bus, bucket=bucket, now_ms=now_ms)
    keep_state(store, FUNCTION, name, SweepState(round=state.round + 1, works=held), etag)
    return Round(looked_at=len(chunks), announced=len(announced))


def announce(stored: Stored, *, bus: Bus, bucket: str, now_ms: int) -> None:
    """Hand the chunk to the bridge once more, as an event."""
    count = attempt((now_ms - stored.modified_ms) / 1000)
    event = chunk_stored(stored, bucket=bucket, count=count)
    headers, payload = events.to_nats(event)
    telemetry.current().count("sweep_announced", camera=telemetry.current().camera(stored.name.camera))
    bus.publish(SURE, payload, message_id=event.id, headers=headers)


def chunk_stored(stored: Stored, *, bucket: str, count: int) -> Event[ChunkStored]:
    """The event of a chunk, as the bridge would make it of the bucket's announcement."""
    name = stored.name
    chunk = reference(name, bucket=bucket, size_bytes=stored.size_bytes, etag=stored.etag)
    identity = names.event_id(ChunkStored.TYPE, name.key, count)
    return events.new(ChunkStored(chunk=chunk), part=FUNCTION, camera=name.camera, event_id=identity, attempt=count)


def _has_mark(promise: Promise) -> bool:
    """Nobody knows where a user's own fold keeps its state."""
    return promise.mark != STATE or promise.function in FOLDS


def _from(camera: str, held: dict[str, Promised], number: int, now_ms: int) -> str:
    """Where to begin: behind what all works have done; every tenth round an hour earlier."""
    done = min((each.done for each in held.values()), default="")
    if not done:
        earliest = min((each.since_ms for each in held.values()), default=now_ms)
        return least_chunk_key(camera, earliest - LATE_MS)
    if number % DEEP_EVERY:
        return done
    return least_chunk_key(camera, parse_chunk_key(done).start_ms - LATE_MS)


def _chunks(store: ObjectStore, camera: str, after: str) -> Iterator[Stored]:
    for each in islice(store.list(f"{CHUNKS}{camera}/", after=after), MOST_CHUNKS):
        try:
            name = parse_chunk_key(each.key)
        except InvalidNameError:
            continue
        modified_ms = round(each.modified.timestamp() * 1000)
        yield Stored(name=name, modified_ms=modified_ms, size_bytes=each.size_bytes, etag=each.etag)


def _done(store: ObjectStore, work: str, camera: str, chunks: Sequence[Stored]) -> dict[str, int]:
    """By key of a chunk, when it got its mark; of those that are looked at."""
    if not chunks:
        return {}
    function, _, model = work.partition("-")
    prefix = f"results/{work}/{camera}/"
    last = chunks[-1].name.result_key(function, model or None)
    # The result's key sorts as the chunk's: begin right before the first.
    first = chunks[0].name.result_key(function, model or None)
    found: dict[str, int] = {}
    for each in store.list(prefix, after=first[:-1]):
        if each.key > last:
            break
        try:
            found[parse_result_key(each.key).chunk.key] = round(each.modified.timestamp() * 1000)
        except InvalidNameError:
            continue
    return found
