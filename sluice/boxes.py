"""The boxes of an MP4 file (ISO/IEC 14496-12): where they are, read without any library and without trust."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MOST: Final = 4096
"""Boxes side by side; a chunk has four, a recording one pair a fragment."""
_HEADER: Final = 8
_LARGE_HEADER: Final = 16
_INTO: Final = {b"stsd": 8, b"avc1": 78, b"avc3": 78, b"hvc1": 78, b"hev1": 78}
"""Fixed fields between a box's header and the boxes it holds; 0 for all others."""


class TooManyBoxesError(ValueError):
    """Raised when a file is made of boxes to keep its reader busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box; its end may lie past the end of a truncated file."""

    kind: bytes
    start: int
    body: int
    """Where what follows the header begins."""
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes side by side in data[start:end]; stops at the first that cannot be one.

    Raises TooManyBoxesError after MOST of them.
    """
    limit = len(data) if end is None else min(end, len(data))
    found = 0
    while start + _HEADER <= limit:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = _HEADER
        if size == 1 and start + _LARGE_HEADER <= limit:
            (size,) = struct.unpack_from(">Q", data, start + _HEADER)
            header = _LARGE_HEADER
        elif size == 0:
            size = limit - start
        if size < header:
            return
        found += 1
        if found > MOST:
            raise TooManyBoxesError(f"more than {MOST} boxes side by side")
        yield Box(kind=kind, start=start, body=start + header, end=start + size)
        start += size


def within(data: bytes, box: Box) -> Iterator[Box]:
    """The boxes that *box* holds."""
    return boxes(data, box.body + _INTO.get(box.kind, 0), box.end)


def find(data: bytes, path: str) -> Iterator[Box]:
    """Every box at *path*, as in moov/trak/mdia, in the order of the file."""
    first, _, rest = path.partition("/")
    yield from _find((each for each in boxes(data) if each.kind == first.encode()), data, rest)


def _find(found: Iterator[Box], data: bytes, rest: str) -> Iterator[Box]:
    first, _, deeper = rest.partition("/")
    for box in found:
        if not first:
            yield box
        else:
            yield from _find((each for each in within(data, box) if each.kind == first.encode()), data, deeper)
