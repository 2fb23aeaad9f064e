"""CloudEvents of any type on HTTP and in a stream: attributes as text, data as bytes; nothing of Sluice is assumed."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from sluice.errors import InvalidEventError

STRUCTURED: Final = "application/cloudevents"
_NAME: Final = re.compile(r"[a-z0-9]+")
_REQUIRED: Final = ("specversion", "id", "source", "type")
# What a header may carry as it is: the HTTP binding encodes space, double quote, percent and all beyond ASCII.
_PLAIN: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event, its attributes in their text form."""

    attributes: Mapping[str, str]
    data: bytes

    def extended(self, **extensions: str) -> "CloudEvent":
        """The same event with more extensions."""
        return CloudEvent(attributes={**self.attributes, **extensions}, data=self.data)

    def without(self, *names: str) -> "CloudEvent":
        """The same event without these attributes."""
        kept = {name: value for name, value in self.attributes.items() if name not in names}
        return CloudEvent(attributes=kept, data=self.data)


def from_http(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """Read binary or structured mode; raises InvalidEventError when it is no CloudEvent 1.0."""
    lowered = {name.lower(): value for name, value in headers.items()}
    content_type = lowered.get("content-type", "")
    # The content type decides: a structured message may carry ce- headers too.
    if content_type.lower().startswith(STRUCTURED):
        if not content_type.lower().startswith(f"{STRUCTURED}+json"):
            raise InvalidEventError("binary mode or application/cloudevents+json", content_type)
        return _checked(*_structured(body))
    attributes = {name[3:]: unquote(value) for name, value in lowered.items() if name.startswith("ce-")}
    if content_type:
        attributes["datacontenttype"] = content_type
    return _checked(attributes, body)


def to_headers(event: CloudEvent) -> dict[str, str]:
    """The headers of binary mode; the body is the event's data."""
    headers = {
        f"ce-{name}": quote(value, safe=_PLAIN) for name, value in event.attributes.items() if name != "datacontenttype"
    }
    if "datacontenttype" in event.attributes:
        headers["content-type"] = event.attributes["datacontenttype"]
    return headers


def _checked(attributes: dict[str, str], data: bytes) -> CloudEvent:
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise InvalidEventError(f"the attributes {', '.join(_REQUIRED)}", f"none or empty: {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise InvalidEventError("specversion 1.0", attributes["specversion"])
    odd = [name for name in attributes if not _NAME.fullmatch(name)]
    if odd:
        raise InvalidEventError("attribute names of small letters and digits", repr(odd[0][:80]))
    return CloudEvent(attributes=attributes, data=data)


def _structured(body: bytes) -> tuple[dict[str, str], bytes]:
    try:
        envelope: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError("JSON", repr(body[:80])) from error
    if not isinstance(envelope, dict):
        raise InvalidEventError("a JSON object", type(envelope).__name__)
    data, encoded = envelope.pop("data", None), envelope.pop("data_base64", None)
    attributes = {name: _text(name, value) for name, value in envelope.items() if value is not None}
    if encoded is not None:
        try:
            return attributes, base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise InvalidEventError("base64", repr(encoded)[:80], "data_base64") from error
    if data is None:
        return attributes, b""
    content_type = attributes.setdefault("datacontenttype", "application/json")
    if isinstance(data, str) and "json" not in content_type:
        return attributes, data.encode()
    return attributes, json.dumps(data, separators=(",", ":")).encode()


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise InvalidEventError("text, a number or a truth value", type(value).__name__, name)
