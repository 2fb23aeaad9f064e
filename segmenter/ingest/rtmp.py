"""The door for cameras that push RTMP: one port for all of them; their video is read by the worker that has them."""

import asyncio
import base64
import contextlib
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from segmenter.ingest.guesses import Guesses, GuessesError
from segmenter.ingest.handover import Handover
from segmenter.ingest.listener import Listener
from segmenter.ingest.rtmp_error import RtmpError
from segmenter.ingest.rtmp_session import PublishSession, Wish, status
from sluice.errors import UnavailableError

WAIT_S: Final = 10.0
"""For everything up to the wish to publish."""
BYTES_MAX: Final = 64 << 10
"""Before the wish."""
_LINGER_S: Final = 1.0
_ROOM: Final = 16 << 10
_log = logging.getLogger("sluice.ingest")


class RtmpFront:
    """One a process. hand_over owns the socket it is given (non-blocking still), unless it raises UnavailableError."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        admit: Callable[[str, str], bool],
        hand_over: Callable[[Handover, socket.socket], Awaitable[None] | None],
        guesses: Guesses | None = None,
        wait_s: float = WAIT_S,
    ) -> None:
        self._wait_s = wait_s
        self._admit, self._hand_over, self._guesses = admit, hand_over, guesses or Guesses()
        self._listener = Listener(host=host, port=port, serve=self._serve)

    @property
    def port(self) -> int:
        """Where it listens; given by the system when 0 was asked for."""
        return self._listener.port

    async def open(self) -> None:
        """Listen; raises OSError when the port is taken."""
        await self._listener.open()

    async def close(self) -> None:
        """Listen no longer and drop who waits here; publishers that were handed over go on."""
        await self._listener.close()

    async def _serve(self, sock: socket.socket, peer: str) -> bool:
        try:
            async with asyncio.timeout(self._wait_s):
                session = PublishSession()
                wish = await _wish(sock, session)
                return wish is not None and await self._let_in(wish, session, sock, peer)
        except RtmpError as error:
            _log.info("push refused: %s", error, extra={"peer": peer})
            return False

    async def _let_in(self, wish: Wish, session: PublishSession, sock: socket.socket, peer: str) -> bool:
        """Whether the socket belongs to a worker now."""
        try:
            admitted = self._guesses.admits(peer, wish.camera, wish.key, self._admit)
        except GuessesError as error:
            await _refuse(sock, wish, "NetStream.Publish.Denied", str(error))
            return False
        if not admitted:
            # The same for a camera that is unknown, so that names cannot be guessed.
            _log.info("push refused", extra={"camera": wish.camera, "peer": peer})
            await _refuse(sock, wish, "NetStream.Publish.BadName", "no such camera, or not its key")
            return False
        rest = base64.b64encode(session.rest()).decode("ascii")
        handover = Handover(camera=wish.camera, protocol="rtmp", peer=peer, rest=rest, state=session.state())
        try:
            handing = self._hand_over(handover, sock)
            if inspect.isawaitable(handing):
                await handing
        except UnavailableError as error:
            await _refuse(sock, wish, "NetStream.Publish.Failed", error.reason)
            return False
        return True


async def _wish(sock: socket.socket, session: PublishSession) -> Wish | None:
    """Talk until the peer wishes to publish; None: it went away, or was refused."""
    loop = asyncio.get_running_loop()
    received = 0
    while session.wish is None:
        data = await loop.sock_recv(sock, min(_ROOM, BYTES_MAX - received))
        if not data:
            if received >= BYTES_MAX:
                raise RtmpError(f"publish within {BYTES_MAX} bytes", "more")
            return None
        received += len(data)
        answer = session.receive(data)
        if answer:
            await loop.sock_sendall(sock, answer)
        if session.refused:
            await _part(sock)
            return None
    return session.wish


async def _refuse(sock: socket.socket, wish: Wish, code: str, why: str) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, status(code, why, wish.stream, level="error"))
    await _part(sock)


async def _part(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            # Closed with bytes unread, the kernel would reset the connection and the answer might never be read.
            sock.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(sock, _ROOM):
                pass
