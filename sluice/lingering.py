"""gunicorn's threaded worker, but for how it ends connections.

gunicorn 27 closes by RFC 9112, 9.6: it says that it is done, and reads on until the other side has closed too, for 2 s
at most (util.close_graceful). It does so in the one thread that accepts (gthread.finish_request), so a client of
HTTP/1.0 that does not close stops everybody. Here the selector waits, for many at once.
"""

import selectors
import socket
import time
from collections import deque
from functools import partial
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

LINGER_S: Final = 2.0
_PIECE: Final = 64 << 10


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn gives no types
    """Named by the setting worker_class."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._lingering: deque[Any] = deque()
        """Connections that wait for their end, in order of their timeouts."""

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
        """Called after each turn of the loop: ends those that have waited for too long, too."""
        super().murder_pending()
        while self._lingering and self._lingering[0].timeout <= time.monotonic():
            self._stop(self._lingering[0])

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
