"""Events as HTTP requests and NATS messages, in both directions; the only importer of cloudevents.

What comes in is an Event of its contract or an InvalidEventError, nothing else. The SDK (2.2) makes up a missing id,
takes any ce- header for binary mode, turns broken JSON into text and leaks whatever its parsers raise: so presence,
mode and data are decided here, and it keeps attribute rules, header encoding and times.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_binary
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from sluice import names, telemetry
from sluice.attributes import NAME, SHOWN, check_attribute, check_storable, text_of, unquoted
from sluice.contracts.catalogue import EVENTS
from sluice.contracts.chunk import ChunkRef
from sluice.contracts.envelope import Event
from sluice.errors import InvalidEventError
from sluice.payload import decode

T = TypeVar("T")

CONTRACTS: Final[dict[str, type[Any]]] = {kind.TYPE: kind for kind in EVENTS}
"""Every event type and the shape of its data."""

STRUCTURED: Final = "application/cloudevents+json"
_JSON: Final = "application/json"
_ANY_JSON: Final = re.compile(r"(application|text)/([\w.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_REQUIRED: Final = ("specversion", "id", "source", "type")
_CORE: Final = {*_REQUIRED, "subject", "time", "datacontenttype", "dataschema"}
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def new(
    data: T,
    *,
    part: str,
    camera: str,
    event_id: str,
    time: datetime | None = None,
    sequence: int | None = None,
    activity: str | None = None,
    attempt: int | None = None,
    traceparent: str | None = None,
) -> Event[T]:
    """Make an event; sequence and activity are those of the chunk it is about unless given."""
    chunk: ChunkRef | None = getattr(data, "chunk", None)
    if chunk is not None:
        sequence = chunk.seq if sequence is None else sequence
        activity = activity or chunk.activity
    extensions = {"partitionkey": camera, "attempt": str(attempt or 0)}
    if sequence is not None:
        extensions["sequence"] = f"{sequence:010d}"
    if activity:
        extensions["activity"] = activity
    extensions["traceparent"] = traceparent or telemetry.traceparent()
    return Event(
        type=data.TYPE,  # type: ignore[attr-defined]  # every contract has one; a Protocol here would reach all callers
        id=event_id,
        source=_source(camera, part),
        subject=camera,
        time=time or datetime.now(UTC),
        data=data,
        extensions=extensions,
    )


def answer(cause: Event[Any], data: T, *, function: str, model: str | None = None, ordinal: int = 0) -> Event[T]:
    """Make what *function* says of *cause*: the same id however often it says so, the extensions of its cause."""
    chunk: ChunkRef | None = getattr(cause.data, "chunk", None)
    about, camera = (chunk.key, chunk.camera) if chunk else (cause.id, cause.subject or names.UNKNOWN_CAMERA)
    work = f"{function}-{model}" if model else function
    event_type: str = data.TYPE  # type: ignore[attr-defined]  # as in new
    return Event(
        type=event_type,
        id=names.event_id(event_type, about, work, ordinal),
        source=_source(camera, function),
        subject=camera,
        time=datetime.now(UTC),
        data=data,
        # What a broker notes about one delivery (hops left, time of arrival) is no fact about the answer.
        extensions={name: text for name, text in cause.extensions.items() if not name.startswith("knative")},
    )


def encode(data: object) -> bytes:
    """Render a contract as JSON."""
    return msgspec.json.encode(data)


def to_http(event: Event[Any]) -> tuple[dict[str, str], bytes]:
    """Render the event in binary mode: attributes as headers, the body is the data."""
    message = to_binary(CloudEvent(_attributes(event), encode(event.data)), JSONFormat())
    return dict(message.headers), message.body


def to_nats(event: Event[Any]) -> tuple[dict[str, str], bytes]:
    """Render the event in the binary mode of the NATS binding: unlike HTTP, the content type is an attribute too."""
    headers, payload = to_http(event)
    headers["ce-datacontenttype"] = headers.pop("content-type")
    return headers, payload


def to_structured(event: Event[Any]) -> bytes:
    """Render the event as one JSON document."""
    # Not by the SDK: json.dumps would write NaN, which is no JSON.
    return msgspec.json.encode({**CloudEvent(_attributes(event)).get_attributes(), "data": event.data})


def from_http(headers: Mapping[str, str], body: bytes, contract: type[T]) -> Event[T]:
    """Read an event of *contract* in binary or structured mode."""
    return _event(*_parse(headers, body), contract)


def from_nats(headers: Mapping[str, str], payload: bytes, contract: type[T]) -> Event[T]:
    """Read an event of *contract* from a NATS message, in either mode."""
    return _event(*_parse(headers, payload), contract)


def from_structured(body: bytes, contract: type[T]) -> Event[T]:
    """Read an event of *contract* from one JSON document."""
    return _event(*_parse_structured(body), contract)


def peek(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Read the attributes alone, as text: what triggers filter by."""
    attributes, _ = _parse(headers, body)
    return {name: text_of(value) for name, value in attributes.items()}


def is_batch(headers: Mapping[str, str]) -> bool:
    """True for a batch of events, which nothing here ever asks for."""
    return any(name.lower() == "content-type" and _is_batch(value) for name, value in headers.items())


def _is_batch(content_type: str) -> bool:
    return content_type.strip().lower().startswith("application/cloudevents-batch")


def _source(camera: str, part: str) -> str:
    return f"/cameras/{camera if camera == names.UNKNOWN_CAMERA else names.checked_camera(camera)}/{part}"


def _attributes(event: Event[Any]) -> dict[str, Any]:
    # A new dict every time: the SDK keeps the one it is given.
    subject = {"subject": event.subject} if event.subject else {}
    return {
        "specversion": "1.0",
        "type": event.type,
        "id": event.id,
        "source": event.source,
        **subject,
        "time": event.time,
        "datacontenttype": _JSON,
        **event.extensions,
    }


def _parse(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, Any], bytes]:
    carried = {name.lower(): value for name, value in headers.items()}
    content_type = carried.get("content-type", "").strip()
    if not content_type.lower().startswith("application/cloudevents"):
        return _parse_binary(carried, body)
    # The content type decides the mode; ce- headers beside it are copies (HTTP binding 3.2.2).
    if content_type.partition(";")[0].strip().lower() != STRUCTURED:
        raise InvalidEventError(f"one event, as {STRUCTURED}", content_type[:SHOWN], "content-type")
    return _parse_structured(body)


def _parse_binary(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, Any], bytes]:
    # A ce- header whose rest is no attribute name (ce-my-ext) is no attribute, and no reason to lose the event.
    carried = {
        name: unquoted(value)
        for name, value in headers.items()
        if name.startswith("ce-") and NAME.fullmatch(name[3:]) and name != "ce-datacontenttype"
    }
    missing = [f"ce-{name}" for name in _REQUIRED if not carried.get(f"ce-{name}")]
    if missing:
        found = f"no {', '.join(missing)}; content-type {headers.get('content-type', 'absent')[:SHOWN]}"
        raise InvalidEventError("ce- headers of an event", found, "headers")
    content_type = headers.get("content-type") or headers.get("ce-datacontenttype")
    if content_type:
        carried["content-type"] = content_type
    with _refusing("attributes as CloudEvents 1.0 has them", "headers"):
        # Without the body: the SDK would turn JSON that it cannot read into text.
        event = from_binary(HTTPMessage(carried, b""), JSONFormat(), CloudEvent)
        check_storable(event.get_attributes())
    return dict(event.get_attributes()), body


def _parse_structured(body: bytes) -> tuple[dict[str, Any], bytes]:
    with _refusing("one event as a JSON object", "body"):
        members = _MEMBERS.decode(body)
        encoded = members.pop("data_base64", None)
        data = bytes(members.pop("data", b""))
        if encoded is not None:
            data = base64.b64decode(msgspec.json.decode(encoded, type=str), validate=True)
        values = {name: msgspec.json.decode(raw) for name, raw in members.items()}
    # null is an attribute that is not there (JSON format 2.1); the SDK would write it on as null.
    attributes = {name: value for name, value in values.items() if value is not None}
    missing = [name for name in _REQUIRED if name not in attributes]
    if missing:
        raise InvalidEventError(f"{', '.join(_REQUIRED)}", f"no {', '.join(missing)}", "body")
    with _refusing("attributes as CloudEvents 1.0 has them", "body"):
        for name, value in attributes.items():
            check_attribute(name, value)
        if "time" in attributes:
            attributes["time"] = msgspec.json.decode(members["time"], type=datetime)
        event = CloudEvent(attributes)
    return dict(event.get_attributes()), data


def _event(attributes: dict[str, Any], data: bytes, contract: type[T]) -> Event[T]:
    expected: str = contract.TYPE  # type: ignore[attr-defined]  # as in new
    if attributes["type"] != expected:
        raise InvalidEventError(expected, attributes["type"][:SHOWN], "type")
    content_type = attributes.get("datacontenttype", _JSON)
    if not _ANY_JSON.fullmatch(content_type):
        raise InvalidEventError(_JSON, content_type[:SHOWN], "datacontenttype")
    decoded = decode(data, contract)
    chunk: ChunkRef | None = getattr(decoded, "chunk", None)
    subject: str = attributes.get("subject", chunk.camera if chunk else "")
    if chunk and subject != chunk.camera:
        raise InvalidEventError(chunk.camera, subject[:SHOWN], "subject")
    return Event(
        type=expected,
        id=attributes["id"],
        source=attributes["source"],
        subject=subject,
        time=attributes["time"],
        data=decoded,
        extensions={name: text_of(value) for name, value in attributes.items() if name not in _CORE},
    )


@contextmanager
def _refusing(expected: str, where: str) -> Iterator[None]:
    try:
        yield
    # All that the SDK, its time parser and msgspec were seen to raise; a body of brackets alone makes RecursionError.
    except (BaseCloudEventException, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidEventError(expected, str(error)[:SHOWN], where) from error
