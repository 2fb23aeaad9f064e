"""A port that lets connections in, each served by a task of its own, bounded in number."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

MOST_CONNECTIONS: Final = 512
_ACCEPT_AGAIN_S: Final = 0.1
_log = logging.getLogger("sluice.ingest")


class Listener:
    """open() and close() once. *serve* gets a non-blocking socket, and says whether somebody else owns it now."""

    def __init__(self, *, host: str, port: int, serve: Callable[[socket.socket, str], Awaitable[bool]]) -> None:
        self.port = port
        """Where it listens; given by the system when 0 was asked for."""
        self._host, self._serve_one = host, serve
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: dict[asyncio.Task[bool], None] = {}  # the oldest first

    async def open(self) -> None:
        """Listen; raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self.port), family=family, backlog=MOST_CONNECTIONS)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept(self._socket), name=f"accept-{self.port}")

    async def close(self) -> None:
        """Listen no longer and drop who waits here; those that were handed over go on."""
        tasks = [*self._connections, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                _log.warning("no connection accepted: %s", error)  # no descriptors left, or reset before we came
                await asyncio.sleep(_ACCEPT_AGAIN_S)
                continue
            if len(self._connections) >= MOST_CONNECTIONS:
                # The one that has waited longest gives way: whoever holds connections must not keep others out.
                next(iter(self._connections)).cancel()
            task = asyncio.create_task(self._serve(sock, str(address[0])))
            self._connections[task] = None
            task.add_done_callback(partial(self._ended, sock))

    async def _serve(self, sock: socket.socket, peer: str) -> bool:
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await self._serve_one(sock, peer)
        except (OSError, TimeoutError):
            pass  # it went away, or let us wait
        except Exception:  # noqa: BLE001 (the loop of a server: a bug costs its own connection)
            _log.exception("a connection failed")
        return False

    def _ended(self, sock: socket.socket, task: asyncio.Task[bool]) -> None:
        """Not in the task: one that is cancelled before it began never gets that far."""
        self._connections.pop(task, None)
        if task.cancelled() or not task.result():
            sock.close()
