"""What the supervisor has for one worker: posting never waits, so no worker can hold up the others."""

import asyncio
import contextlib
import logging
import socket
from collections import deque
from typing import Final

from segmenter.fleet.wire import Message, encoded
from sluice.errors import UnavailableError

MOST_HANDED: Final = 64
"""Sockets on their way: a worker that takes none is about to be killed."""
_AGAIN_S: Final = 0.01

log = logging.getLogger("segmenter.outbox")


class Outbox:
    """One a worker process; send() runs in a task as long as it lives."""

    def __init__(self, wire: socket.socket) -> None:
        """*wire* does not block."""
        self._wire = wire
        self._waiting: deque[tuple[bytes, socket.socket | None]] = deque()
        self._posted = asyncio.Event()

    def post(self, message: Message, handed: socket.socket | None = None) -> None:
        """Send it, in order; *handed* is the outbox's from now on, unless this raises UnavailableError."""
        if handed is not None and sum(each is not None for _, each in self._waiting) >= MOST_HANDED:
            raise UnavailableError("segmenter", "the camera's worker takes no connections now")
        self._waiting.append((encoded(message), handed))
        self._posted.set()

    async def send(self) -> None:
        """Send what is posted, until the worker is gone; who listens on the wire sees that too."""
        try:
            while True:
                await self._posted.wait()
                self._posted.clear()
                while self._waiting:
                    await self._pass_on(*self._waiting[0])
                    _, handed = self._waiting.popleft()
                    if handed is not None:
                        handed.close()  # the worker has a descriptor of its own
        except OSError as error:
            log.warning("a worker takes nothing: %s", error)
            with contextlib.suppress(OSError):
                self._wire.shutdown(socket.SHUT_RDWR)

    async def _pass_on(self, line: bytes, handed: socket.socket | None) -> None:
        sent = 0
        while handed is not None and not sent:
            try:
                sent = socket.send_fds(self._wire, [line], [handed.fileno()])
            except BlockingIOError:
                await asyncio.sleep(_AGAIN_S)
            except ConnectionError:
                raise
            except OSError as error:  # too many on their way, or it was closed: that camera comes again
                log.warning("a connection is not handed over: %s", error)
                return
        await asyncio.get_running_loop().sock_sendall(self._wire, line[sent:])

    def close(self) -> None:
        """Close what was not handed over: those cameras come again."""
        for _, handed in self._waiting:
            if handed is not None:
                handed.close()
        self._waiting.clear()
