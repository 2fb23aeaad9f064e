"""A CloudEvent of any type carried from HTTP to NATS and back, its data as it is."""

import base64
import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from sluice import events
from sluice.attributes import text_of

STRUCTURED: Final = "application/cloudevents"
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


def to_nats(headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], bytes]:
    """The event of an HTTP request in the binary mode of NATS; raises InvalidEventError when it is none."""
    attributes = events.peek(headers, body)
    if _content_type(headers).startswith(STRUCTURED):
        body = _data(body)
    return {f"ce-{name}": _encoded(text_of(value)) for name, value in attributes.items()}, body


def to_http(headers: Mapping[str, str], attributes: Mapping[str, str]) -> dict[str, str]:
    """The headers under which a message's event is posted, in the mode it has."""
    content_type = _content_type(headers)
    if content_type.startswith(STRUCTURED):
        return {"Content-Type": content_type}
    posted = {f"ce-{name}": _encoded(value) for name, value in attributes.items() if name != "datacontenttype"}
    if "datacontenttype" in attributes:
        posted["Content-Type"] = attributes["datacontenttype"]
    return posted


def _content_type(headers: Mapping[str, str]) -> str:
    return next((value.strip().lower() for name, value in headers.items() if name.lower() == "content-type"), "")


def _data(envelope: bytes) -> bytes:
    """The data of a structured event that was read already."""
    members = json.loads(envelope)
    if members.get("data_base64") is not None:
        return base64.b64decode(members["data_base64"])
    return json.dumps(members["data"], separators=(",", ":")).encode() if "data" in members else b""


def _encoded(text: str) -> str:
    """As headers carry an attribute (HTTP binding 3.1.3.2): blank, quote, percent and all beyond ASCII encoded."""
    return quote(text, safe=_PRINTABLE.replace('"', "").replace("%", ""))
