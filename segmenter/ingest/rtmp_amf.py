"""AMF0: the values in RTMP's commands. Bounded in depth and number; pure."""

import struct
from collections.abc import Callable
from typing import Any, Final

from segmenter.ingest.rtmp_error import RtmpError

DEPTH_MAX: Final = 8
VALUES_MAX: Final = 1024
_NUMBER, _BOOLEAN, _STRING, _OBJECT = 0, 1, 2, 3
_NULL, _UNDEFINED, _ARRAY, _OBJECT_END = 5, 6, 8, 9
_STRICT_ARRAY, _DATE, _LONG_STRING, _XML, _TYPED_OBJECT = 10, 11, 12, 15, 16


def decode(data: bytes) -> list[Any]:
    """All values in *data*; raises RtmpError. Undefined is None, a date is its milliseconds."""
    reader = _Reader(data)
    values = []
    while not reader.over:
        values.append(reader.value(DEPTH_MAX))
    return values


def encode(*values: Any) -> bytes:
    """Numbers, truths, strings, None, lists and dicts with names."""
    return b"".join(map(_encoded, values))


def _encoded(value: Any) -> bytes:
    match value:
        case None:
            found = bytes((_NULL,))
        case bool():
            found = bytes((_BOOLEAN, value))
        case int() | float():
            found = struct.pack(">Bd", _NUMBER, value)
        case str() if len(value.encode()) > 0xFFFF:
            found = struct.pack(">BI", _LONG_STRING, len(value.encode())) + value.encode()
        case str():
            found = bytes((_STRING,)) + _name(value)
        case list():
            found = struct.pack(">BI", _STRICT_ARRAY, len(value)) + encode(*value)
        case dict():
            inside = b"".join(_name(name) + _encoded(each) for name, each in value.items())
            found = bytes((_OBJECT,)) + inside + bytes((0, 0, _OBJECT_END))
        case _:
            raise TypeError(type(value).__name__)
    return found


def _name(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._values = data, 0, 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def value(self, depth: int) -> Any:
        self._values += 1
        # Five bytes of an object may name another one: without a bound, a message of 64 KiB exhausts the stack.
        if depth < 0 or self._values > VALUES_MAX:
            raise RtmpError(f"AMF0 of at most {VALUES_MAX} values, {DEPTH_MAX} deep", "more")
        kind = self._take(1)[0]
        read = _READ.get(kind)
        if read is None:
            raise RtmpError("a value of AMF0", f"marker {kind}")
        return read(self, depth)

    def number(self, _depth: int) -> float:
        return float(self._number(">d", 8))

    def truth(self, _depth: int) -> bool:
        return self._take(1) != b"\0"

    def nothing(self, _depth: int) -> None:
        return None

    def text(self, _depth: int) -> str:
        return self._text(">H", 2)

    def long_text(self, _depth: int) -> str:
        return self._text(">I", 4)

    def date(self, depth: int) -> float:
        milliseconds = self.number(depth)
        self._take(2)  # a time zone, always 0
        return milliseconds

    def array(self, depth: int) -> dict[str, Any]:
        self._take(4)  # how many it has is a hint only: it ends like an object
        return self.object(depth)

    def typed_object(self, depth: int) -> dict[str, Any]:
        self.text(depth)
        return self.object(depth)

    def object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            name = self._text(">H", 2)
            if not name and self._data[self._at : self._at + 1] == bytes((_OBJECT_END,)):
                self._at += 1
                return found
            found[name] = self.value(depth - 1)

    def strict_array(self, depth: int) -> list[Any]:
        count = self._number(">I", 4)
        if count > VALUES_MAX:
            raise RtmpError(f"a list of at most {VALUES_MAX} values", str(count))
        return [self.value(depth - 1) for _ in range(count)]

    def _text(self, form: str, size: int) -> str:
        return self._take(self._number(form, size)).decode("utf-8", "replace")

    def _number(self, form: str, size: int) -> Any:
        return struct.unpack(form, self._take(size))[0]

    def _take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise RtmpError(f"{size} more bytes of AMF0", str(len(taken)))
        self._at += size
        return taken


_READ: Final[dict[int, Callable[[_Reader, int], Any]]] = {
    _NUMBER: _Reader.number,
    _BOOLEAN: _Reader.truth,
    _STRING: _Reader.text,
    _OBJECT: _Reader.object,
    _NULL: _Reader.nothing,
    _UNDEFINED: _Reader.nothing,
    _ARRAY: _Reader.array,
    _STRICT_ARRAY: _Reader.strict_array,
    _DATE: _Reader.date,
    _LONG_STRING: _Reader.long_text,
    _XML: _Reader.long_text,
    _TYPED_OBJECT: _Reader.typed_object,
}
