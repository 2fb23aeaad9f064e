"""Heads of HTTP/1.1 requests: pure, bounded, and strict where leniency would let two readers disagree."""

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from sluice.errors import InvalidNameError, SluiceError
from sluice.names import checked_camera

HEAD_MAX: Final = 16 << 10
HEAD_END: Final = b"\r\n\r\n"
INGEST: Final = "/ingest/"
_FIELDS_MAX: Final = 100
_LINE: Final = re.compile(r"([A-Z]{1,16}) ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")


@dataclass
class RefusedError(SluiceError):
    """Raised when a request gets no more than an answer."""

    status: int
    detail: str
    """For people; never with a key."""
    fields: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What its head says."""

    method: str
    path: str
    """Decoded; without the query."""
    query: str = field(repr=False)
    fields: dict[str, str] = field(repr=False)
    """By name in lower case. Like the query it may hold a key, so neither is shown."""
    persistent: bool
    """Whether another request may follow on the connection."""

    @property
    def chunked(self) -> bool:
        """Whether its body is in chunks."""
        return "transfer-encoding" in self.fields

    @property
    def length(self) -> int | None:
        """Of its body, if the head says it."""
        return int(self.fields["content-length"]) if "content-length" in self.fields else None

    @property
    def has_body(self) -> bool:
        """Whether more than a head belongs to it."""
        return self.chunked or bool(self.length)

    @property
    def awaits_continue(self) -> bool:
        """Whether its body comes only after an interim answer."""
        return self.fields.get("expect", "").lower() == "100-continue"

    @property
    def camera(self) -> str | None:
        """The camera that it pushes for; None: its path is not of the ingest."""
        if not self.path.startswith(INGEST):
            return None
        try:
            return checked_camera(self.path.removeprefix(INGEST))
        except InvalidNameError as error:
            raise RefusedError(404, "no such path") from error

    @property
    def key(self) -> str | None:
        """What it shows to be let in, from the head field or the query."""
        scheme, _, shown = self.fields.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and shown.strip():
            return shown.strip()
        try:
            keys = parse_qs(self.query, max_num_fields=16).get("key")
        except ValueError as error:
            raise RefusedError(400, "too many parameters") from error
        return keys[0] if keys else None


def parse_head(head: bytes) -> Request:
    """Read a head without its empty line; raises RefusedError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None or len(lines) > _FIELDS_MAX:
        raise RefusedError(400, "not a request of HTTP/1.1")
    method, target, minor = line.groups()
    fields = _fields(lines)
    _check_framing(fields)
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise RefusedError(400, "not a target of HTTP/1.1") from error
    connection = {each.strip().lower() for each in fields.get("connection", "").split(",")}
    persistent = "close" not in connection if minor == "1" else "keep-alive" in connection
    return Request(method=method, path=unquote(parts.path), query=parts.query, fields=fields, persistent=persistent)


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise RefusedError(400, "a head field that is none")
        name, value = found[1].lower(), found[2]
        if name in fields and name in ("content-length", "transfer-encoding", "authorization", "host"):
            raise RefusedError(400, f"{name} twice")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _check_framing(fields: dict[str, str]) -> None:
    # RFC 9112 section 6.3: a proxy before us that reads the other of the two would see another request.
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None and length is not None:
        raise RefusedError(400, "a length and chunks at once")
    if coding is not None and coding.lower() != "chunked":
        raise RefusedError(501, "a transfer coding other than chunked")
    if length is not None and not _LENGTH.fullmatch(length):
        raise RefusedError(400, "a length that is none")
