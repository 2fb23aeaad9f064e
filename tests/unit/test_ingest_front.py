"""The door: pages for whoever asks, pushes for whoever has a key, an answer for everybody else, in bounded time."""

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from segmenter.ingest import front as module
from segmenter.ingest import listener
from segmenter.ingest.front import Front, Page
from segmenter.ingest.guesses import MOST
from segmenter.ingest.handover import Handover
from sluice.errors import UnavailableError

CHUNKED = "Transfer-Encoding: chunked"


@dataclass
class Door:
    """A front in a thread of its own, and what it handed over."""

    port: int = 0
    handed: list[tuple[Handover, socket.socket]] = field(default_factory=list)
    busy: bool = False
    came: threading.Event = field(default_factory=threading.Event)

    def admit(self, camera: str, key: str) -> bool:
        """One camera, one key."""
        return (camera, key) == ("gate", "s3cret")

    def hand_over(self, handover: Handover, sock: socket.socket) -> None:
        """As a worker takes it, or as there is none."""
        if self.busy:
            raise UnavailableError("camera gate", "it is paused")
        self.handed.append((handover, sock))
        self.came.set()

    def ask(self, *lines: str, body: bytes = b"") -> bytes:
        """All that one connection is answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall("\r\n".join((*lines, "", "")).encode("latin-1") + body)
            return all_of(sock)


def all_of(sock: socket.socket) -> bytes:
    received = b""
    while more := sock.recv(65536):
        received += more
    return received


def broken_page() -> Page:
    raise ZeroDivisionError


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    pages: dict[str, Callable[[], Page]] = {"/health/liveness": lambda: Page(body=b"alive"), "/broken": broken_page}
    front = Front(host="127.0.0.1", port=0, pages=pages, admit=made.admit, hand_over=made.hand_over)
    asyncio.run_coroutine_threadsafe(front.open(), loop).result(5)
    made.port = front.port
    with contextlib.closing(loop):
        yield made
        asyncio.run_coroutine_threadsafe(front.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
    for _, sock in made.handed:
        sock.close()


def test_pages_are_answered_on_one_connection(door: Door) -> None:
    """Probes and scrapers ask again and again."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as sock:
        sock.sendall(b"GET /health/liveness HTTP/1.1\r\nHost: a\r\n\r\nHEAD /health/liveness HTTP/1.1\r\n\r\n")
        sock.sendall(b"GET /health/liveness HTTP/1.1\r\nConnection: close\r\n\r\n")
        answers = all_of(sock)

    assert answers.count(b"HTTP/1.1 200 OK") == 3
    assert answers.count(b"Content-Length: 5") == 3
    assert answers.count(b"\r\n\r\nalive") == 2


def test_a_push_that_shows_its_key_is_handed_over_with_what_was_read(door: Door) -> None:
    """Nothing that came with the head is lost."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as sock:
        sock.sendall(b"PUT /ingest/gate?key=s3cret HTTP/1.1\r\nContent-Length: 99\r\n\r\nvideo")
        assert door.came.wait(5)
        handover, handed = door.handed[0]
        sock.sendall(b" more")
        handed.settimeout(5)
        more = handed.recv(100)

    assert (handover.camera, handover.protocol, handover.peer) == ("gate", "http", "127.0.0.1")
    assert base64.b64decode(handover.rest) + more == b"video more"
    assert handover.state == {"length": 99, "chunked": False}


def test_a_sender_that_asks_first_is_told_to_go_on(door: Door) -> None:
    """As `-send_expect_100 1` makes ffmpeg."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as sock:
        lines = ("POST /ingest/gate HTTP/1.1", "Authorization: Bearer s3cret", CHUNKED, "Expect: 100-continue", "", "")
        sock.sendall("\r\n".join(lines).encode())
        answer = sock.recv(100)

    assert answer == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert door.came.wait(5)
    assert door.handed[0][0].state == {"length": None, "chunked": True}


@pytest.mark.parametrize(
    ("camera", "field"), [("gate", "X: y"), ("gate", "Authorization: Bearer no"), ("yard", "Authorization: Bearer no")]
)
def test_without_its_key_nobody_learns_which_cameras_there_are(door: Door, camera: str, field: str) -> None:
    """No key, another key and another camera: the same answer."""
    answer = door.ask(f"PUT /ingest/{camera} HTTP/1.1", field, CHUNKED, body=b"5\r\nvideo\r\n" * 1000)

    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b'WWW-Authenticate: Bearer realm="ingest"' in answer
    assert answer.endswith(b"\r\n\r\nno such camera, or not its key\n")
    assert not door.handed


def test_who_guesses_keys_has_to_wait(door: Door) -> None:
    """The door says how long."""
    wrong = ("PUT /ingest/gate?key=guess HTTP/1.1", CHUNKED)

    answers = [door.ask(*wrong) for _ in range(MOST + 1)]

    assert {each.split(b"\r\n")[0] for each in answers[:-1]} == {b"HTTP/1.1 401 Unauthorized"}
    assert answers[-1].startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"\r\nRetry-After: 60\r\n" in answers[-1]


@pytest.mark.parametrize(
    ("line", "field", "status"),
    [
        ("GET /ingest/gate?key=s3cret HTTP/1.1", "Host: a", 405),
        ("DELETE /health/liveness HTTP/1.1", "Host: a", 405),
        ("GET /nothing HTTP/1.1", "Host: a", 404),
        ("PUT /ingest/no/camera?key=s3cret HTTP/1.1", CHUNKED, 404),
        ("PUT /ingest/gate?key=s3cret HTTP/1.1", "Host: a", 411),
        ("PUT /ingest/gate?key=s3cret HTTP/1.1", "Content-Length: 0", 400),
        ("nonsense", "Host: a", 400),
        ("GET / HTTP/1.1", "X: " + "y" * 20_000, 431),
        ("GET /broken HTTP/1.1", "Host: a", 500),
    ],
)
def test_everybody_else_is_answered(
    door: Door, monkeypatch: pytest.MonkeyPatch, line: str, field: str, status: int
) -> None:
    """Each with the status that says what was wrong, and with an end that does not wait for theirs."""
    monkeypatch.setattr(module, "_LINGER_S", 60.0)

    assert door.ask(line, field).startswith(f"HTTP/1.1 {status} ".encode())
    assert not door.handed


def test_a_camera_that_has_no_worker_now_is_to_come_again(door: Door) -> None:
    """Paused, or its worker is only being started."""
    door.busy = True

    answer = door.ask("PUT /ingest/gate?key=s3cret HTTP/1.1", CHUNKED)

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5" in answer


def test_a_head_that_does_not_come_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a request is closed, and takes nobody's place for ever."""
    monkeypatch.setattr(module, "HEAD_S", 0.05)

    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as sock:
        sock.sendall(b"GET /health")
        assert all_of(sock) == b""


def test_who_holds_connections_keeps_nobody_out(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, and a probe is answered: the connection that has waited longest gives way."""
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 2)

    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as first:
        first.sendall(b"GET /health/liveness HTTP/1.1\r\n\r\n")
        assert first.recv(1000)
        with socket.create_connection(("127.0.0.1", door.port), timeout=5) as second:
            second.sendall(b"GET /health/liveness HTTP/1.1\r\n\r\n")
            assert second.recv(1000)
            served = door.ask("GET /health/liveness HTTP/1.1", "Connection: close")
            left = first.recv(1000)
            second.sendall(b"GET /health/liveness HTTP/1.1\r\n\r\n")
            assert second.recv(1000)

    assert served.endswith(b"alive")
    assert left == b""
