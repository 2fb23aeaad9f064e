"""Messages and sockets between supervisor and worker arrive whole, in order, and without leaking descriptors."""

import gc
import os
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segmenter.fleet.wire import MOST_BYTES, Inbox, Message, send

LONG_S = 10.0


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def descriptors() -> int:
    """How many this process has open, and not only because nobody has collected them yet."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def passed(sender: socket.socket, receiver: socket.socket) -> bytes:
    """What one end says to the other."""
    sender.sendall(b"hello")
    receiver.settimeout(LONG_S)
    return receiver.recv(16)


def test_a_message_larger_than_any_buffer_arrives_whole(wire: tuple[socket.socket, socket.socket]) -> None:
    """A camera's configuration may be 64 KiB, and sixteen of them are sent at once."""
    ours, theirs = wire
    message: Message = {"run": "x" * (2 << 20)}
    sending = threading.Thread(target=send, args=(ours, message))
    sending.start()

    received = Inbox(theirs).receive(timeout_s=LONG_S)
    sending.join(LONG_S)

    assert received == (message, None)


def test_sockets_arrive_with_their_own_messages(wire: tuple[socket.socket, socket.socket]) -> None:
    """Plain messages between them, and everything read late: no camera gets another's connection."""
    ours, theirs = wire
    near, far = zip(*(socket.socketpair() for _ in range(5)), strict=True)
    for number, each in enumerate(far):
        send(ours, {"plain": "x" * number * 1000})
        send(ours, {"push": number, "handed": True, "pad": "y" * 1000}, each)
        each.close()
    inbox = Inbox(theirs)

    for number in range(5):
        assert inbox.receive(timeout_s=LONG_S) == ({"plain": "x" * number * 1000}, None)
        received = inbox.receive(timeout_s=LONG_S)
        assert received
        message, handed = received
        assert message["push"] == number
        assert handed
        with handed, near[number]:
            assert passed(near[number], handed) == b"hello"


def test_a_socket_that_finds_no_room_costs_only_itself(wire: tuple[socket.socket, socket.socket]) -> None:
    """The process has no descriptor left for the first: the second is still the second camera's."""
    ours, theirs = wire
    first, second = socket.socketpair(), socket.socketpair()
    inbox = Inbox(theirs)
    socket.send_fds(ours, [b'{"push":1,'], [first[1].fileno()])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(TimeoutError):
            inbox.receive(timeout_s=0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ours.sendall(b'"handed":true}\n')
    send(ours, {"push": 2, "handed": True}, second[1])
    missed = inbox.receive(timeout_s=LONG_S)
    received = inbox.receive(timeout_s=LONG_S)

    assert missed == ({"push": 1, "handed": True}, None)
    assert received
    message, handed = received
    assert message["push"] == 2
    assert handed
    with handed, second[0], second[1], first[0], first[1]:
        assert passed(second[0], handed) == b"hello"


def test_a_torn_peer_is_an_end_that_leaks_nothing(wire: tuple[socket.socket, socket.socket]) -> None:
    """It died in the middle of a message that came with a socket."""
    ours, theirs = wire
    pair = socket.socketpair()
    inbox = Inbox(theirs)
    before = descriptors()
    socket.send_fds(ours, [b'{"push": 1, "hand'], [pair[1].fileno()])
    ours.close()

    received = inbox.receive(timeout_s=LONG_S)

    for each in pair:
        each.close()
    assert received is None
    assert descriptors() == before - 3


def test_nothing_said_is_a_timeout(wire: tuple[socket.socket, socket.socket]) -> None:
    """Half a message is nothing yet, and is not lost."""
    ours, theirs = wire
    inbox = Inbox(theirs)
    ours.sendall(b'{"drain"')

    with pytest.raises(TimeoutError):
        inbox.receive(timeout_s=0.01)
    ours.sendall(b":true}\n")

    assert inbox.receive(timeout_s=LONG_S) == ({"drain": True}, None)


def test_a_message_without_end_is_refused(wire: tuple[socket.socket, socket.socket]) -> None:
    """Memory is bounded on this side as well."""
    ours, theirs = wire
    ours.settimeout(LONG_S)

    def endless() -> None:
        try:
            while True:
                ours.sendall(b"x" * (1 << 20))
        except OSError:
            return

    sending = threading.Thread(target=endless)
    sending.start()
    inbox = Inbox(theirs)

    with pytest.raises(ValueError, match=str(MOST_BYTES)):
        inbox.receive(timeout_s=LONG_S)

    theirs.close()
    sending.join(LONG_S)
