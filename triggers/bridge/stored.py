"""A record of the bucket as the event that the rest of Sluice knows; pure, so that both lanes make the same event."""

import hashlib
from typing import Final
from uuid import UUID

from sluice import events, names
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from sluice.errors import InvalidNameError, UnusableInputError
from sluice.references import reference
from sluice.telemetry import traceparent
from triggers.bridge.records import Record

PART: Final = "bridge"
ATTEMPT: Final = 0
"""Of the bucket's own announcements; the sweeper's count up from 1."""


def chunk_stored(record: Record) -> Event[ChunkStored]:
    """The event of a stored chunk; raises UnusableInputError when the key is no chunk's name."""
    try:
        name = names.parse_chunk_key(record.key)
    except InvalidNameError as error:
        raise UnusableInputError(error.expected, repr(record.key[:200]), record.key[:200]) from error
    chunk = reference(name, bucket=record.bucket, size_bytes=record.size_bytes, etag=record.etag)
    identity = names.event_id(ChunkStored.TYPE, record.key, ATTEMPT)
    return events.new(
        ChunkStored(chunk=chunk, metadata=dict(record.metadata)),
        part=PART,
        camera=name.camera,
        event_id=identity,
        time=record.time,
        attempt=ATTEMPT,
        traceparent=traceparent(record.metadata.get("traceparent"), _derived_trace(identity)),
    )


def rejection(error: UnusableInputError, *, stream: str, stream_seq: int, ordinal: int = 0) -> Event[InputRejected]:
    """The event that ends what can never become one; *ordinal* counts the records of one message."""
    where = error.where if error.where.startswith(names.CHUNKS) else f"{stream} {stream_seq}: {error.where}"
    said = InputRejected(part=PART, where=where, expected=error.expected, found=error.found)
    parts = (stream, stream_seq, ordinal) if ordinal else (stream, stream_seq)
    identity = names.event_id(InputRejected.TYPE, *parts)
    return events.new(
        said,
        part=PART,
        camera=camera_in(error.where),
        event_id=identity,
        traceparent=_derived_trace(identity),
    )


def camera_in(key: str) -> str:
    """The camera that a key names, however wrong its rest; UNKNOWN_CAMERA where none can be read."""
    folders = key.split("/")
    try:
        return names.checked_camera(folders[1]) if folders[0] == "chunks" and len(folders) > 2 else names.UNKNOWN_CAMERA
    except InvalidNameError:
        return names.UNKNOWN_CAMERA


def _derived_trace(identity: str) -> str:
    """A trace for an object that came without one: the same whichever lane is first."""
    span = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"00-{UUID(identity).hex}-{span}-01"
