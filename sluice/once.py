"""The one path of every stateless function: one chunk, one result, however often the event comes.

Publish to NATS under the event's id, put the result object if there is none, reply. Death between any two of them
means doing it again under the same ids: the server drops the second message, the store refuses the second object.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from sluice import events, names
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkRef, ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import ConflictError, InvalidEventError, ObjectNotFoundError, UnusableInputError
from sluice.store import ObjectStore

MAX_CHUNK_BYTES: Final = 64 << 20

Work = Callable[[ChunkRef, bytes], Any]
"""Makes a result contract of a chunk; raises UnusableInputError when nothing can be made of it."""


def answer_once(
    cause: Event[ChunkStored], work: Work, *, function: str, store: ObjectStore, bus: Bus, model: str | None = None
) -> Event[Any] | None:
    """Return what *function* says of the chunk: from its result object if it has one, else by doing the work.

    None when the chunk is gone: retention deleted it before its event came, and nothing is left to say.
    """
    chunk = cause.data.chunk
    key = names.parse_chunk_key(chunk.key).result_key(function, model)
    done = _recorded(store, key)
    if done:
        return done
    try:
        answer = events.answer(cause, _work(work, chunk, store, function), function=function, model=model)
    except ObjectNotFoundError:
        return None
    _publish(bus, answer, chunk.camera)
    try:
        store.create(key, events.to_structured(answer))
    except ConflictError:
        return _recorded(store, key)
    return answer


def _work(work: Work, chunk: ChunkRef, store: ObjectStore, function: str) -> Any:
    try:
        body = store.get(chunk.key, limit=MAX_CHUNK_BYTES).body
        return work(chunk, body)
    except UnusableInputError as error:
        return InputRejected(part=function, where=error.where, expected=error.expected, found=error.found, chunk=chunk)


def _publish(bus: Bus, event: Event[Any], camera: str) -> None:
    headers, payload = events.to_nats(event)
    bus.publish(names.subject(event.data.KIND, camera), payload, message_id=event.id, headers=headers)


def _recorded(store: ObjectStore, key: str) -> Event[Any] | None:
    try:
        body = store.get(key).body
    except ObjectNotFoundError:
        return None
    try:
        return events.from_structured(body, events.CONTRACTS[json.loads(body)["type"]])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidEventError("an event as the result object", repr(body[:80]), key) from error
