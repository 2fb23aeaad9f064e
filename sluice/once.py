"""The one path of every stateless function: one chunk, one result, however often the event comes.

Publish to NATS under the event's id, put the result object if there is none, reply. Death between any two of them
means doing it again under the same ids: the server drops the second message, the store refuses the second object.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sluice import events, names, telemetry
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkRef, ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import ConflictError, InvalidEventError, ObjectNotFoundError, UnavailableError, UnusableInputError
from sluice.store import ObjectStore

MAX_CHUNK_BYTES: Final = 64 << 20

Work = Callable[[ChunkRef, bytes], Any]
"""Makes a result contract of a chunk; raises UnusableInputError when nothing can be made of it."""
Outcome = Any
"""A result contract, or the UnusableInputError or UnavailableError that stands in its way."""
ModelsWork = Callable[[ChunkRef, bytes, Sequence[str]], Mapping[str, Outcome]]
"""Makes an outcome for each of the models; raises what stands in the way of all."""


def answer_once(
    cause: Event[ChunkStored], work: Work, *, function: str, store: ObjectStore, bus: Bus
) -> Event[Any] | None:
    """Return what *function* says of the chunk: from its result object if it has one, else by doing the work.

    None when the chunk is gone: retention deleted it before its event came, and nothing is left to say.
    """

    def alone(chunk: ChunkRef, body: bytes, _models: Sequence[str | None]) -> Mapping[str | None, Outcome]:
        return {None: work(chunk, body)}

    return next(iter(_answers(cause, alone, (None,), function=function, store=store, bus=bus)), None)


def answer_each(
    cause: Event[ChunkStored],
    work: ModelsWork,
    *,
    function: str,
    models: Sequence[str],
    store: ObjectStore,
    bus: Bus,
) -> list[Event[Any]]:
    """The same for a function with several models: one result each, and only the missing are worked for.

    A model that fails does not take the others' results along: they are recorded before its error is raised.
    """
    return _answers(cause, work, models, function=function, store=store, bus=bus)  # type: ignore[arg-type]  # str or None alike


def _answers(
    cause: Event[ChunkStored],
    work: Callable[[ChunkRef, bytes, Sequence[str | None]], Mapping[str | None, Outcome]],
    models: Sequence[str | None],
    *,
    function: str,
    store: ObjectStore,
    bus: Bus,
) -> list[Event[Any]]:
    chunk = cause.data.chunk
    name = names.parse_chunk_key(chunk.key)
    keys = {model: name.result_key(function, model) for model in models}
    answers = {model: done for model, key in keys.items() if (done := _recorded(store, key))}
    missing = [model for model in models if model not in answers]
    try:
        outcomes = _outcomes(work, chunk, missing, store) if missing else {}
    except ObjectNotFoundError:
        outcomes = {}
    for model, outcome in outcomes.items():
        if not isinstance(outcome, UnavailableError):
            data = _rejection(outcome, chunk, function) if isinstance(outcome, UnusableInputError) else outcome
            answer = events.answer(cause, data, function=function, model=model)
            recorded = _record(answer, keys[model], store, bus)
            if recorded is not None:
                answers[model] = recorded
    for outcome in outcomes.values():
        if isinstance(outcome, UnavailableError):
            raise outcome
    return [answers[model] for model in models if model in answers]


def _outcomes(
    work: Callable[[ChunkRef, bytes, Sequence[str | None]], Mapping[str | None, Outcome]],
    chunk: ChunkRef,
    models: Sequence[str | None],
    store: ObjectStore,
) -> Mapping[str | None, Outcome]:
    try:
        with telemetry.stage("get"):
            body = store.get(chunk.key, limit=MAX_CHUNK_BYTES).body
        return work(chunk, body, models)
    except UnusableInputError as error:
        return dict.fromkeys(models, error)


def _rejection(error: UnusableInputError, chunk: ChunkRef, function: str) -> InputRejected:
    return InputRejected(part=function, where=error.where, expected=error.expected, found=error.found, chunk=chunk)


def _record(answer: Event[Any], key: str, store: ObjectStore, bus: Bus) -> Event[Any] | None:
    _publish(bus, answer, answer.data.chunk.camera)
    try:
        store.create(key, events.to_structured(answer))
    except ConflictError:
        return _recorded(store, key)
    return answer


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
