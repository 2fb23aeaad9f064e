"""The body of an HTTP push, as a file that the demuxer reads."""

import contextlib
import socket
import struct
from http import HTTPStatus
from typing import Final

from segmenter.ingest.chunked import BrokenChunksError, Chunked
from segmenter.source import SourceError

_BAD: Final = {"garbage": 400, "unsupported": 415, "too-large": 413, "silent": 408}
"""Answers, by reason; any other end is a conflict with what the segmenter wants."""


class Body:
    """One thread reads. It ends by b"", in order or not; `failure` then says why it was not in order."""

    def __init__(self, sock: socket.socket, *, rest: bytes, length: int | None, chunked: bool, silent_s: float) -> None:
        sock.setblocking(True)
        # The kernel's own limit: with Python's, each read would cost a poll as well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(silent_s))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(1.0))
        self._sock, self._rest, self._silent_s = sock, rest, silent_s
        self._chunks = Chunked() if chunked else None
        self._left = length or 0
        self.failure: SourceError | None = None
        self._over = False

    def read(self, most: int) -> bytes:
        """At most *most* bytes as soon as there are some; b"" for ever once it is over."""
        while not self._over:
            data = self._received(most)
            if self._chunks is not None:
                try:
                    data = self._chunks.feed(data)
                except BrokenChunksError as error:
                    self._fail("garbage", str(error))
                    return b""
                self._over = self._over or self._chunks.over
            else:
                data = data[: self._left]
                self._left -= len(data)
                self._over = self._over or not self._left
            if data:
                return data
        return b""

    def interrupt(self) -> None:
        """From any thread: read() ends."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def close(self, error: SourceError | None = None) -> None:
        """Answer and close: 200 once the whole body was taken, else why it was not."""
        whole = self._over and self.failure is None and error is None
        why = error or self.failure or SourceError("replaced", "the segmenter ended the push")
        status = HTTPStatus(200 if whole else _BAD.get(why.reason, 409))
        text = b"" if whole else f"{why}\n".encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        with self._sock, contextlib.suppress(OSError):
            self._sock.send(head.encode("ascii") + text, socket.MSG_DONTWAIT)
            self._sock.shutdown(socket.SHUT_WR)

    def _received(self, most: int) -> bytes:
        if self._rest:
            data, self._rest = self._rest[:most], self._rest[most:]
            return data
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            self._fail("silent", f"nothing came for {self._silent_s:g} s")
            return b""
        except OSError as error:
            self._fail("ended", f"the connection broke: {error.strerror}")
            return b""
        if not data:
            self._fail("ended", "the connection ended within the body")
        return data

    def _fail(self, reason: str, detail: str) -> None:
        self._over, self.failure = True, SourceError(reason, detail)


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
