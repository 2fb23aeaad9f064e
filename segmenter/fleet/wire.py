"""Supervisor and worker talk over a pair of Unix sockets: a JSON object a line, with sockets that are handed over."""

import json
import os
import select
import socket
from collections import deque
from typing import Any, Final

import msgspec

Message = dict[str, Any]

MOST_BYTES: Final = 4 << 20
"""Of one message: a report on 16 cameras takes 16 KiB."""
_PIECE: Final = 1 << 16
_MOST_SOCKETS: Final = 16


def encoded(message: Message) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"


def send(wire: socket.socket, message: Message, handed: socket.socket | None = None) -> None:
    """Send whole, blocking; with *handed* it must set `"handed": true`, so that the other side takes the socket."""
    line = encoded(message)
    sent = 0
    if handed is not None:
        sent = socket.send_fds(wire, [line], [handed.fileno()])
    wire.sendall(line[sent:])


class Inbox:
    """The receiving side of a blocking socket."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        # Unlike select(), it takes descriptors above 1023.
        self._poll = select.poll()
        self._poll.register(wire, select.POLLIN)
        self._held = bytearray()
        self._handed: deque[int | None] = deque()

    def receive(self, *, timeout_s: float) -> tuple[Message, socket.socket | None] | None:
        """The next message; None when the other side is gone; raises TimeoutError.

        A socket that was handed over is None where this process has no descriptor left for it.
        """
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > MOST_BYTES:
                raise ValueError(f"a message of over {MOST_BYTES} bytes")
            # Not a timeout of the socket's: the same socket must send whole messages.
            if not self._poll.poll(timeout_s * 1000):
                raise TimeoutError
            if not self._take():
                self.close()
                return None
        message: Message = json.loads(self._held[:end])
        del self._held[: end + 1]
        descriptor = self._handed.popleft() if message.get("handed") and self._handed else None
        return message, None if descriptor is None else socket.socket(fileno=descriptor)

    def close(self) -> None:
        """Close what was handed over and never asked for."""
        for descriptor in self._handed:
            if descriptor is not None:
                os.close(descriptor)
        self._handed.clear()

    def _take(self) -> bool:
        try:
            piece, descriptors, flags, _ = socket.recv_fds(self._wire, _PIECE, _MOST_SOCKETS)
        except ConnectionResetError:
            return False
        self._handed.extend(descriptors)
        if flags & socket.MSG_CTRUNC:
            # Without a mark in its place the next camera's socket would be taken for this one's.
            self._handed.append(None)
        self._held += piece
        return bool(piece)
