"""Into the line: an announcement of the bucket, or an event of the sweeper, becomes chunk.stored on SLUICE_CHUNKS."""

import logging
from datetime import UTC, datetime
from typing import Any

from sluice import events, names, telemetry
from sluice.bus import Bus, Message
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.errors import InvalidEventError, UnusableInputError
from triggers.bridge import records, stored
from triggers.bridge.records import Record

log = logging.getLogger(__name__)


def take(message: Message, *, bus: Bus, bucket: str) -> None:
    """Publish what the message announces; returns once all of it is durable, raises UnavailableError if it is not.

    What can never be used is published as input.rejected and is done with.
    """
    try:
        if is_event(message):
            _publish(bus, _event(message))
        else:
            _announced(message, bus=bus, bucket=bucket)
    except UnusableInputError as error:
        reject(message, error, bus=bus)


def is_event(message: Message) -> bool:
    """True for an event in either mode of the NATS binding; a bucket's announcements carry no headers."""
    carried = {name.lower(): value for name, value in message.headers.items()}
    return "ce-type" in carried or carried.get("content-type", "").startswith("application/cloudevents")


def reject(message: Message, error: UnusableInputError, *, bus: Bus, ordinal: int = 0) -> None:
    """Say that a message, or one record of it, can never be used."""
    event = stored.rejection(error, stream=message.stream, stream_seq=message.stream_seq, ordinal=ordinal)
    telemetry.current().count("bridge_rejected", stream=message.stream)
    log.warning("rejected %s %d: %s", message.stream, message.stream_seq, error)
    _publish(bus, event)


def _event(message: Message) -> Event[ChunkStored]:
    try:
        event = events.from_nats(message.headers, message.payload, ChunkStored)
    except InvalidEventError as error:
        raise UnusableInputError(error.expected, error.found, error.where) from error
    telemetry.bind(traceparent=event.extensions.get("traceparent"), camera=event.subject, key=event.data.chunk.key)
    return event


def _announced(message: Message, *, bus: Bus, bucket: str) -> None:
    for ordinal, record in enumerate(records.read(message.payload)):
        try:
            if isinstance(record, UnusableInputError):
                raise record
            if _is_ours(record, bucket):
                event = stored.chunk_stored(record)
                telemetry.bind(traceparent=event.extensions["traceparent"], camera=event.subject, key=record.key)
                _publish(bus, event)
        except UnusableInputError as error:
            reject(message, error, bus=bus, ordinal=ordinal)


def _is_ours(record: Record, bucket: str) -> bool:
    """Whatever else somebody lets the bucket announce is no fault of the announcement."""
    other = "bucket" if record.bucket != bucket else ""
    if not (record.key.startswith(names.CHUNKS) and record.key.endswith(names.CHUNK_SUFFIX)):
        other = "key"
    if other:
        telemetry.current().count("bridge_ignored", reason=other)
    return not other


def _publish(bus: Bus, event: Event[Any]) -> None:
    headers, payload = events.to_nats(event)
    published = bus.publish(
        names.subject(event.data.KIND, event.subject), payload, message_id=event.id, headers=headers
    )
    metrics = telemetry.current()
    metrics.count("bridge_in", copy="again" if published.duplicate else "first")
    if not published.duplicate:
        metrics.observe("bridge_in_age_seconds", max(0.0, (datetime.now(UTC) - event.time).total_seconds()))
