"""A wire between two programs that a test may stall or cut."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

_PIECE = 1 << 16


class Relay:
    """Listens on a loopback port and passes bytes on to *target*; one thread a direction."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._ends = set[socket.socket]()
        self._door: socket.socket | None = None
        self.port = 0
        self.mend()

    def stall(self) -> None:
        """Both sides stay connected, and nothing comes through any more: a hung machine, a pulled plug."""
        self._flows.clear()

    def flow(self) -> None:
        """What was held back arrives, and more."""
        self._flows.set()

    def cut(self) -> None:
        """Every connection breaks, and new ones are refused."""
        door, self._door = self._door, None
        if door is not None:
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)  # wakes accept()
            door.close()
        with self._lock:
            for each in self._ends:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._flows.set()  # who waits finds its connection broken

    def mend(self) -> None:
        """Take connections again, at the same port."""
        self._door = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._door,), daemon=True).start()

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                near, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._target, timeout=5) as far:
            far.settimeout(None)
            with self._lock:
                self._ends |= {near, far}
            back = threading.Thread(target=self._pass_on, args=(far, near), daemon=True)
            back.start()
            self._pass_on(near, far)
            back.join()
            with self._lock:
                self._ends -= {near, far}

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                self._flows.wait()
                sink.sendall(piece)
        self._flows.wait()  # that a side hung up does not come through either
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(url: str) -> Iterator[tuple[Relay, str]]:
    """A relay in front of *url*, and the URL that leads through it."""
    parts = urlsplit(url)
    assert parts.hostname, url
    assert parts.port, url
    between = Relay((parts.hostname, parts.port))
    try:
        yield between, parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{between.port}")).geturl()
    finally:
        between.cut()
