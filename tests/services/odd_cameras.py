"""Cameras behind HTTP URLs: a live one, and some that no segmenter may be hurt by."""

import contextlib
import itertools
import random
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.transport_stream import HZ, TransportStream, pictures

Answer = Callable[[threading.Event], Iterator[bytes]]
"""All that is sent, until the event says that it is over."""

_OK = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"
FPS = 25


def live(over: threading.Event) -> Iterator[bytes]:
    """A keyframe a second, for ever, in real time; its count of time begins anew with each connection."""
    yield _OK
    clip, stream, began = pictures(seconds=4), TransportStream(), time.monotonic()
    for at in itertools.count():
        if over.wait(max(0.0, began + at / FPS - time.monotonic())):
            return
        yield stream.unit(clip[at % len(clip)], pts=HZ + at * HZ // FPS)


def guarded(_over: threading.Event) -> Iterator[bytes]:
    """It wants another password."""
    yield b"HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=camera\r\nContent-Length: 0\r\n\r\n"


def garbage(over: threading.Event) -> Iterator[bytes]:
    """Noise as fast as it is taken."""
    yield _OK
    noise = random.Random(7).randbytes(1 << 16)
    while not over.is_set():
        yield noise


def endless_head(over: threading.Event) -> Iterator[bytes]:
    """Headers without end."""
    yield b"HTTP/1.0 200 OK\r\n"
    for number in itertools.count():
        if over.is_set():
            return
        yield f"X-{number}: {'a' * 1000}\r\n".encode()


def hundred_streams(over: threading.Event) -> Iterator[bytes]:
    """A programme of a hundred tracks."""
    return _repeated(TransportStream(others=99), (320, 180), over)


def huge_pictures(over: threading.Event) -> Iterator[bytes]:
    """A picture 16 384 wide."""
    return _repeated(TransportStream(), (16_384, 64), over)


def _repeated(stream: TransportStream, size: tuple[int, int], over: threading.Event) -> Iterator[bytes]:
    yield _OK
    clip = pictures(seconds=0.4, gop=5, size=size)
    for at in itertools.count():
        yield stream.unit(clip[at % len(clip)], pts=HZ + at * HZ // FPS)
        if over.wait(1 / FPS):
            return


@contextlib.contextmanager
def odd_cameras(**answers: Answer) -> Iterator[str]:
    """The URL under which each camera is found by its name."""
    over = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline(1 << 12).split(b" ")
            while self.rfile.readline(1 << 12).strip():
                pass
            with contextlib.suppress(OSError):
                for piece in answers[words[1].decode().strip("/")](over):
                    self.connection.sendall(piece)

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A camera knows nothing of who hangs up."""
