"""The attributes of an event as text: what CloudEvents 1.0 says of them and its SDK does not check."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sluice.errors import InvalidEventError

SHOWN: Final = 300
"""Characters of foreign text that an error repeats."""
NAME: Final = re.compile(r"[a-z0-9]+")


def text_of(value: object) -> str:
    """Render a value as headers carry it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def unquoted(value: str) -> str:
    """Undo the quoting of a header's value, which we never do but must read (HTTP binding 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def check_attribute(name: str, value: object) -> None:
    """Raise InvalidEventError unless it may stand in JSON; the SDK takes any extension, and a newline in its name."""
    fits = isinstance(value, str) or (isinstance(value, int) and -(2**31) <= value < 2**31)
    if not fits or not NAME.fullmatch(name):
        raise InvalidEventError(
            "a string, 32-bit integer or boolean named [a-z0-9]+", repr(value)[:SHOWN], name[:SHOWN]
        )


def check_storable(attributes: Mapping[str, Any]) -> None:
    """Raise ValueError for half a surrogate pair, which no header and no JSON can carry on."""
    for value in attributes.values():
        text_of(value).encode()
