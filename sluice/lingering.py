"""gunicorn's threaded worker, but for how it bears with clients that are slow.

gunicorn 27 closes by RFC 9112, 9.6: it says that it is done, and reads on until the other side has closed too, for 2 s
at most (util.close_graceful). It does so in the one thread that accepts (gthread.finish_request), so a client of
HTTP/1.0 that does not close stops everybody. Here the selector waits, for many at once.

It also waits for ever for the rest of a request's headers, in a thread of the pool. Here it does so for HEADERS_S.
"""

import contextlib
import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

LINGER_S: Final = 2.0
HEADERS_S: Final = 5.0
"""They are a packet or two, and come from a proxy that has them all."""
_PIECE: Final = 64 << 10


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn gives no types
    """Named by the setting worker_class."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lingering: deque[Any] = deque()
        """Connections that wait for their end, in order of their timeouts."""
        self._heading: dict[Any, float] = {}
        """Connections whose headers are being read, and until when they may be."""

    def handle(self, conn: Any) -> Any:
        """In a thread of the pool: from the first byte of a request to the last of its answer."""
        self._heading[conn] = time.monotonic() + HEADERS_S
        try:
            return super().handle(conn)
        finally:
            self._heading.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Called when the headers are there."""
        self._heading.pop(conn, None)
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """As its parent, which closes what answers False in this very thread."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            conn.timeout = time.monotonic() + LINGER_S
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
            self._lingering.append(conn)
        except (OSError, ValueError):
            self._end(conn)  # it was closed already

    def murder_pending(self) -> None:
        """Called after each turn of the loop, which takes a second at most: ends what has taken too long."""
        super().murder_pending()
        now = time.monotonic()
        while self._lingering and self._lingering[0].timeout <= now:
            self._stop(self._lingering[0])
        for conn in [conn for conn, until in list(self._heading.items()) if until <= now]:
            # Wakes the thread that reads, which then finds the connection at its end.
            with contextlib.suppress(OSError):
                conn.sock.shutdown(socket.SHUT_RDWR)

    def _drain(self, conn: Any, _sock: Any) -> None:
        try:
            ended = not conn.sock.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._stop(conn)

    def _stop(self, conn: Any) -> None:
        self._lingering.remove(conn)
        self.poller.unregister(conn.sock)
        self._end(conn)

    def _end(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()
