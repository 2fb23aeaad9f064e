"""The body of a push as a file: whole, or with the reason why not."""

import socket
from collections.abc import Iterator

import pytest

from segmenter.ingest.body import Body
from segmenter.source import SourceError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


def whole(body: Body, most: int = 4) -> bytes:
    read = b""
    while more := body.read(most):
        assert len(more) <= most  # the library copies it to a buffer of that size
        read += more
    return read


def reason(body: Body) -> str | None:
    return None if body.failure is None else body.failure.reason


def test_a_body_of_known_length_ends_in_order(pair: Pair) -> None:
    """What came with the head is its beginning, and nothing behind its end is read."""
    ours, theirs = pair
    theirs.sendall(b"re video and more")
    body = Body(ours, rest=b"some mo", length=15, chunked=False, silent_s=5)

    read = whole(body, most=5)
    body.close()

    assert (read, reason(body)) == (b"some more video", None)
    assert theirs.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_chunked_body_ends_in_order(pair: Pair) -> None:
    """The sender is told that all of it was taken, so it ends without an error."""
    ours, theirs = pair
    theirs.sendall(b"me\r\n6\r\n video\r\n0\r\n\r\n")
    body = Body(ours, rest=b"4\r\nso", length=None, chunked=True, silent_s=5)

    read = whole(body)
    body.close()

    assert (read, reason(body)) == (b"some video", None)
    assert theirs.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_sender_that_vanishes_has_ended(pair: Pair) -> None:
    """Without its last chunk nobody knows that it was all."""
    ours, theirs = pair
    theirs.sendall(b"4\r\nsome\r\n")
    theirs.shutdown(socket.SHUT_WR)
    body = Body(ours, rest=b"", length=None, chunked=True, silent_s=5)

    assert (whole(body), reason(body)) == (b"some", "ended")


def test_a_connection_that_is_reset_has_ended() -> None:
    """An encoder that lost power, found out by its network."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        theirs.close()
        body = Body(ours, rest=b"", length=99, chunked=False, silent_s=5)

        assert (whole(body), reason(body)) == (b"", "ended")


def test_a_sender_that_says_nothing_is_silent(pair: Pair) -> None:
    """A cable that was pulled never ends a connection."""
    ours, theirs = pair
    body = Body(ours, rest=b"", length=99, chunked=False, silent_s=0.05)

    read = whole(body)
    body.close()

    assert (read, reason(body)) == (b"", "silent")
    assert theirs.recv(100).startswith(b"HTTP/1.1 408 ")


def test_broken_chunks_are_garbage(pair: Pair) -> None:
    """The rest of the body could be anything."""
    ours, theirs = pair
    theirs.sendall(b"4\r\nsome more\r\n")
    body = Body(ours, rest=b"", length=None, chunked=True, silent_s=5)

    read = whole(body, most=7)
    body.close()

    assert (read, reason(body)) == (b"some", "garbage")
    assert theirs.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_sender_is_told_why_its_video_is_not_taken(pair: Pair) -> None:
    """Whoever tries it with curl reads the reason."""
    ours, theirs = pair
    body = Body(ours, rest=b"", length=99, chunked=False, silent_s=5)

    body.close(SourceError("unsupported", "expected H.264"))

    answer = theirs.recv(1000)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert answer.endswith(b"\r\n\r\nunsupported: expected H.264\n")
