"""Supervisor and worker talk over a pair of Unix sockets: a JSON object a line, with sockets that are handed over."""

import json
import select
import socket
from collections import deque
from typing import Any, Final

Message = dict[str, Any]

MOST_BYTES: Final = 4 << 20
"""Of one message: a report on 16 cameras takes 16 KiB."""
_PIECE: Final = 1 << 16
_MOST_SOCKETS: Final = 16


def encoded(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


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
        self._held = bytearray()
        self._handed: deque[int] = deque()

    def receive(self, *, timeout_s: float) -> tuple[Message, socket.socket | None] | None:
        """The next message; None when the other side is gone; raises TimeoutError."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > MOST_BYTES:
                raise ValueError(f"a message of over {MOST_BYTES} bytes")
            # Not a timeout of the socket's: the same socket must send whole messages.
            if not select.select([self._wire], [], [], timeout_s)[0]:
                raise TimeoutError
            try:
                piece, descriptors, _, _ = socket.recv_fds(self._wire, _PIECE, _MOST_SOCKETS)
            except ConnectionResetError:
                return None
            self._handed.extend(descriptors)
            if not piece:
                return None
            self._held += piece
        message: Message = json.loads(self._held[:end])
        del self._held[: end + 1]
        handed = socket.socket(fileno=self._handed.popleft()) if message.get("handed") else None
        return message, handed
