"""The HTTP face of the segmenter: health, metrics, and the door for cameras that push.

A push is let in here, by its head alone; its body is read by the worker that has the camera. So the connections here
are short, and one thread is enough for them.
"""

import asyncio
import base64
import contextlib
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from segmenter.ingest.guesses import Guesses, GuessesError
from segmenter.ingest.handover import Handover
from segmenter.ingest.listener import Listener
from segmenter.ingest.request import HEAD_END, HEAD_MAX, RefusedError, Request, parse_head
from sluice.errors import UnavailableError

HEAD_S: Final = 10.0
ANSWER_S: Final = 10.0
RETRY_S: Final = 5
_LINGER_S: Final = 2.0
_LINGER_MAX: Final = 4 << 20
_ROOM: Final = 16 << 10
_log = logging.getLogger("sluice.ingest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a GET is answered with."""

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


class Front:
    """One a process. hand_over owns the socket it is given (non-blocking still), unless it raises UnavailableError."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        pages: Mapping[str, Callable[[], Page]],
        admit: Callable[[str, str], bool],
        hand_over: Callable[[Handover, socket.socket], Awaitable[None] | None],
        guesses: Guesses | None = None,
    ) -> None:
        self._pages, self._admit, self._hand_over = pages, admit, hand_over
        self._guesses = guesses or Guesses()
        self._listener = Listener(host=host, port=port, serve=self._serve)

    @property
    def port(self) -> int:
        """Where it listens; given by the system when 0 was asked for."""
        return self._listener.port

    async def open(self) -> None:
        """Listen; raises OSError when the port is taken."""
        await self._listener.open()

    async def close(self) -> None:
        """Listen no longer and drop what is waiting here; pushes that were handed over go on."""
        await self._listener.close()

    async def _serve(self, sock: socket.socket, peer: str) -> bool:
        try:
            return await self._requests(sock, peer)
        except RefusedError as refusal:
            await _refuse(sock, refusal)
            return False

    async def _requests(self, sock: socket.socket, peer: str) -> bool:
        """Answer until the connection ends; True: it belongs to a worker now."""
        loop = asyncio.get_running_loop()
        rest = b""
        while True:
            head, rest = await _read_head(sock, rest)
            if head is None:
                return False
            request = parse_head(head)
            camera = request.camera
            if camera is not None:
                await self._push(request, camera, rest, sock, peer)
                return True
            persistent = request.persistent and not request.has_body
            answer = _answer(self._page(request), persistent=persistent, bodiless=request.method == "HEAD")
            async with asyncio.timeout(ANSWER_S):
                await loop.sock_sendall(sock, answer)
            if not persistent:
                return False

    def _page(self, request: Request) -> Page:
        page = self._pages.get(request.path)
        if page is None:
            raise RefusedError(404, "no such path")
        if request.method not in ("GET", "HEAD"):
            raise RefusedError(405, "a page is read only", (("Allow", "GET, HEAD"),))
        try:
            return page()
        except Exception as error:
            _log.exception("page %s failed", request.path)
            raise RefusedError(500, "internal error") from error

    async def _push(self, request: Request, camera: str, rest: bytes, sock: socket.socket, peer: str) -> None:
        if request.method not in ("PUT", "POST"):
            raise RefusedError(405, "video is pushed by PUT or POST", (("Allow", "PUT, POST"),))
        key = request.key
        if key is None or not self._admits(peer, camera, key):
            # The same for a camera that is unknown, so that names cannot be guessed.
            _log.info("push refused", extra={"camera": camera, "peer": peer, "key_shown": key is not None})
            raise RefusedError(401, "no such camera, or not its key", (("WWW-Authenticate", 'Bearer realm="ingest"'),))
        if not request.chunked and request.length is None:
            raise RefusedError(411, "a length or chunks are needed")
        if not request.has_body:
            raise RefusedError(400, "no video in an empty body")
        if request.awaits_continue and not rest:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.get_running_loop().sock_sendall(sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        handover = Handover(
            camera=camera,
            protocol="http",
            peer=peer,
            rest=base64.b64encode(rest).decode("ascii"),
            state={"length": request.length, "chunked": request.chunked},
        )
        try:
            handing = self._hand_over(handover, sock)
            if inspect.isawaitable(handing):
                await handing
        except UnavailableError as error:
            raise RefusedError(503, error.reason, (("Retry-After", str(RETRY_S)),)) from error

    def _admits(self, peer: str, camera: str, key: str) -> bool:
        try:
            return self._guesses.admits(peer, camera, key, self._admit)
        except GuessesError as error:
            raise RefusedError(429, str(error), (("Retry-After", str(error.retry_s)),)) from error


async def _read_head(sock: socket.socket, rest: bytes) -> tuple[bytes | None, bytes]:
    """Return a head and what came behind it; no head when the peer has nothing more to ask."""
    loop = asyncio.get_running_loop()
    data = bytearray(rest)
    async with asyncio.timeout(HEAD_S):
        while (end := data.find(HEAD_END, 0, HEAD_MAX + len(HEAD_END))) < 0:
            if len(data) > HEAD_MAX:
                raise RefusedError(431, f"a head of more than {HEAD_MAX} bytes")
            got = await loop.sock_recv(sock, _ROOM)
            if not got:
                return None, b""
            data += got
    return bytes(data[:end]), bytes(data[end + len(HEAD_END) :])


def _answer(page: Page, *, persistent: bool, bodiless: bool = False, fields: tuple[tuple[str, str], ...] = ()) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        f"Connection: {'keep-alive' if persistent else 'close'}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "\r\n".join(lines).encode("latin-1") + HEAD_END + (b"" if bodiless else page.body)


def _refusal(refusal: RefusedError) -> bytes:
    page = Page(status=refusal.status, body=f"{refusal.detail}\n".encode())
    return _answer(page, persistent=False, fields=refusal.fields)


async def _refuse(sock: socket.socket, refusal: RefusedError) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            await loop.sock_sendall(sock, _refusal(refusal))
            # Closed with video unread, the kernel would reset the connection and the answer might never be read.
            sock.shutdown(socket.SHUT_WR)
            left = _LINGER_MAX
            while left > 0 and (got := await loop.sock_recv(sock, _ROOM)):
                left -= len(got)
