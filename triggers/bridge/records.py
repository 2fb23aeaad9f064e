"""What a bucket announces, in the shapes of MinIO, AWS and those who follow either; pure.

Seen in the wild: a top-level EventName and Key or none, `s3:` before the event's name or not, the key escaped or not,
one record a message or several, a test event without records, a size left out for an empty object.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from sluice.errors import UnusableInputError

# Put also stands for a copy into a name and a conditional put; tags and retention have names of their own.
CREATED: Final = frozenset({"Put", "Post", "Copy", "CompleteMultipartUpload"})
_META: Final = "x-amz-meta-"
_FRACTION: Final = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An object that was created."""

    bucket: str
    key: str
    time: datetime
    size_bytes: int
    etag: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    """User metadata; lower-case keys. AWS announces none."""


def read(payload: bytes) -> list[Record | UnusableInputError]:
    """Every created object that is announced, or why a record cannot be read; raises UnusableInputError for no JSON."""
    try:
        announcement = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise UnusableInputError("JSON", repr(payload[:80]), "announcement") from error
    if not isinstance(announcement, dict):
        raise UnusableInputError("a JSON object", type(announcement).__name__, "announcement")
    if announcement.get("Event") == "s3:TestEvent":
        return []
    records = announcement.get("Records")
    if not isinstance(records, list):
        raise UnusableInputError("Records, a list", f"{', '.join(announcement)[:80]!r}", "announcement")
    found = [_record(each, announcement.get("EventName"), f"Records[{n}]") for n, each in enumerate(records)]
    return [each for each in found if each is not None]


def _record(record: Any, event: Any, where: str) -> Record | UnusableInputError | None:
    """None for what is no creation."""
    try:
        named = {"eventName": event, **(record if isinstance(record, dict) else {})}
        verb, _, way = _text(named, "eventName").removeprefix("s3:").partition(":")
        if verb != "ObjectCreated" or way not in CREATED:
            return None
        s3 = _mapping(named, "s3")
        thing = _mapping(s3, "object")
        return Record(
            bucket=_text(_mapping(s3, "bucket"), "name"),
            # Our own names hold neither + nor %, so undoing an escape that was never done changes none of them.
            key=unquote_plus(_text(thing, "key"), errors="strict"),
            time=_time(_text(named, "eventTime")),
            size_bytes=_size(thing.get("size", 0)),
            etag=thing["eTag"].strip('"') if isinstance(thing.get("eTag"), str) else None,
            metadata=_metadata(thing.get("userMetadata")),
        )
    except UnusableInputError as error:
        return UnusableInputError(error.expected, error.found, f"{where}.{error.where}")
    except UnicodeDecodeError as error:
        return UnusableInputError("a key in UTF-8", str(error), where)


def _mapping(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise UnusableInputError("an object", type(value).__name__, name)
    return value


def _text(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value or not _is_storable(value):
        raise UnusableInputError("text", repr(value)[:80], name)
    return value


def _is_storable(text: str) -> bool:
    # JSON can spell half a surrogate pair, which nothing after it can carry on.
    return not re.search(r"[\ud800-\udfff]", text)


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnusableInputError("a size in bytes", repr(value)[:80], "size")
    return value


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnusableInputError("a time as 2026-11-21T05:39:28.678Z", repr(text)[:80], "eventTime") from error


def _metadata(given: Any) -> dict[str, str]:
    """Without what is a header of its own, as MinIO's content-type."""
    if not isinstance(given, dict):
        return {}
    lowered = {
        name.lower(): text for name, text in given.items() if isinstance(text, str) and _is_storable(name + text)
    }
    return {name.removeprefix(_META): text for name, text in lowered.items() if name.startswith(_META)}
