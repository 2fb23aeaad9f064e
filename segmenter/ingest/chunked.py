"""Chunked transfer coding (RFC 9112 section 7.1), taken off as the bytes come; pure."""

import re
from typing import Final

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\x20-\x7e\t]*)?")
_LINE_MAX: Final = 256
_TRAILERS_MAX: Final = 4096


class BrokenChunksError(ValueError):
    """Raised when it is not the coding that it claims to be."""


class Chunked:
    """One a body."""

    def __init__(self) -> None:
        self.over = False
        """Whether the last chunk has come, with its trailers."""
        self._left = 0
        self._line = b""
        self._ends = False  # a chunk's data is followed by an empty line
        self._trailers = -1

    def feed(self, data: bytes) -> bytes:
        """Return what is payload in *data*, the next bytes of the body."""
        if len(data) <= self._left:  # within a chunk, as nearly always
            self._left -= len(data)
            return data
        payload, at = [], 0
        while at < len(data) and not self.over:
            if self._left:
                payload.append(data[at : at + self._left])
                at += len(payload[-1])
                self._left -= len(payload[-1])
            else:
                at = self._take_line(data, at)
        return b"".join(payload)

    def _take_line(self, data: bytes, at: int) -> int:
        """Take a line that is not payload, as far as it has come; return where it ends."""
        end = data.find(b"\n", at)
        piece = data[at:] if end < 0 else data[at : end + 1]
        self._line += piece
        if len(self._line) > _LINE_MAX:
            raise BrokenChunksError("chunks: expected a line with a size, found none")
        if end < 0:
            return len(data)
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise BrokenChunksError("chunks: expected lines that end by CR LF, found another")
        self._line_came(line[:-2])
        return end + 1

    def _line_came(self, line: bytes) -> None:
        if self._trailers >= 0:
            self._trailers += len(line) + 2
            self.over = not line
            if self._trailers > _TRAILERS_MAX:
                raise BrokenChunksError("chunks: expected an end, found trailers without one")
        elif self._ends:
            if line:
                raise BrokenChunksError("chunks: expected the end of a chunk, found more")
            self._ends = False
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise BrokenChunksError("chunks: expected a size in hex, found something else")
            self._left = int(size[1], 16)
            self._ends = bool(self._left)
            self._trailers = -1 if self._left else 0
