"""What a publisher sends becomes FLV; how it ends is told apart."""

import base64
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from segmenter.ingest.handover import Handover
from segmenter.ingest.rtmp_amf import decode, encode
from segmenter.ingest.rtmp_chunks import ChunkParser, Message
from segmenter.ingest.rtmp_flv import HEADER, FlvReader, flv_reader
from segmenter.ingest.rtmp_session import PublishSession
from segmenter.source import SourceError
from tests.rtmp_peer import ChunkWriter, command, talk

SILENT_S = 0.2
PONG = bytes.fromhex("0007 00000001")


@dataclass
class Publisher:
    """One that was let in, and the reader of what it sends."""

    sock: socket.socket
    reader: FlvReader
    writer: ChunkWriter = field(default_factory=ChunkWriter)

    def send(self, *messages: Message) -> None:
        """As chunks."""
        self.sock.sendall(self.writer.write(6, *messages))

    def end(self) -> None:
        """As it should be done."""
        self.send(command("deleteStream", 0, None, 1))

    def answers(self) -> list[Message]:
        """All that it was told so far."""
        parser = ChunkParser()
        with contextlib.suppress(BlockingIOError):
            parser.feed(self.sock.recv(65536, socket.MSG_DONTWAIT))
        return list(iter(parser.next, None))


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    yield from published(b"")


def published(early: bytes) -> Iterator[Publisher]:
    """A publisher that sent *early* before it was told that it was let in."""
    session = PublishSession()
    session.receive(talk() + early)
    rest = base64.b64encode(session.rest()).decode()
    state = json.loads(json.dumps(session.state()))
    ours, theirs = socket.socketpair()
    handover = Handover(camera="gate", protocol="rtmp", peer="127.0.0.1", rest=rest, state=state)
    with theirs:
        reader = flv_reader(handover, ours, silent_s=SILENT_S)
        yield Publisher(theirs, reader)
        reader.close()


def read_all(reader: FlvReader, most: int = 65536) -> bytes:
    return b"".join(iter(lambda: reader.read(most), b""))


def tag(kind: int, time: int, payload: bytes) -> bytes:
    """As the FLV specification has it, written another way."""
    size = len(payload)
    head = bytes((kind,)) + size.to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big") + bytes((time >> 24,))
    return head + bytes(3) + payload + (11 + size).to_bytes(4, "big")


def test_messages_become_tags(publisher: Publisher) -> None:
    """Audio, video and metadata; the time in full, but of metadata, which the demuxer would take for a track."""
    metadata = encode("onMetaData", {"width": 320})

    publisher.send(Message(18, 40, 1, encode("@setDataFrame") + metadata))
    publisher.send(Message(9, 0x01020304, 1, b"v" * 3000), Message(8, 5, 1, b"a"), Message(9, 7, 1, b""))
    publisher.end()

    tags = tag(18, 0, metadata) + tag(9, 0x01020304, b"v" * 3000) + tag(8, 5, b"a") + tag(9, 7, b"")
    assert read_all(publisher.reader) == HEADER + tags
    assert publisher.reader.failure is None


def test_it_gives_no_more_than_was_asked_for(publisher: Publisher) -> None:
    """The library's buffer has an end."""
    publisher.send(Message(9, 0, 1, b"v" * 100))
    publisher.end()

    pieces = list(iter(lambda: publisher.reader.read(7), b""))

    assert max(map(len, pieces)) == 7
    assert b"".join(pieces) == HEADER + tag(9, 0, b"v" * 100)


def test_what_came_with_the_wish_is_not_lost() -> None:
    """Some do not wait until they are let in."""
    for publisher in published(ChunkWriter().write(6, Message(9, 0, 1, b"early"))):
        publisher.end()

        assert read_all(publisher.reader) == HEADER + tag(9, 0, b"early")


def test_the_publisher_is_told_to_begin(publisher: Publisher) -> None:
    """By the reader, so that nothing is on its way while the socket is."""
    told = [decode(bytes(each.payload)) for each in publisher.answers() if each.kind == 20]

    assert [each[3]["code"] for each in told] == ["NetStream.Publish.Start"]


def test_other_scripts_are_left_out(publisher: Publisher) -> None:
    """The demuxer would make tracks of them."""
    publisher.send(Message(18, 0, 1, encode("onTextData", {"text": "x"})), Message(15, 0, 1, b"\0"))
    publisher.send(Message(18, 0, 1, encode("onMetaData", {"x": "y" * 70_000})))
    publisher.end()

    assert read_all(publisher.reader) == HEADER


def test_a_window_is_acknowledged(publisher: Publisher) -> None:
    """Some encoders stop sending without it."""
    publisher.send(Message(5, 0, 0, (1000).to_bytes(4, "big")))
    publisher.send(Message(9, 0, 1, bytes(3000)))
    publisher.end()
    read_all(publisher.reader)

    acknowledged = [int.from_bytes(each.payload, "big") for each in publisher.answers() if each.kind == 3]

    assert len(acknowledged) == 1
    assert acknowledged[0] > 3000 + len(talk())


def test_a_ping_is_answered(publisher: Publisher) -> None:
    """While it publishes, too."""
    publisher.send(Message(4, 0, 0, bytes.fromhex("0006 00000001")))
    publisher.end()
    read_all(publisher.reader)

    assert Message(4, 0, 0, PONG) in publisher.answers()


@pytest.mark.parametrize("name", ["deleteStream", "FCUnpublish", "closeStream"])
def test_an_end_in_order_is_no_failure(publisher: Publisher, name: str) -> None:
    """What came before it is given first, what comes after it is not read."""
    publisher.send(Message(9, 0, 1, b"last"), command(name, 0, None, 1), Message(9, 40, 1, b"late"))

    assert read_all(publisher.reader) == HEADER + tag(9, 0, b"last")
    assert publisher.reader.failure is None
    assert publisher.reader.read(10) == b""


def test_a_connection_that_ends_is_a_failure(publisher: Publisher) -> None:
    """A publisher that was killed says nothing."""
    publisher.send(Message(9, 0, 1, b"last"))
    publisher.sock.shutdown(socket.SHUT_WR)

    assert read_all(publisher.reader) == HEADER + tag(9, 0, b"last")
    assert publisher.reader.failure == SourceError("ended", "the connection ended without a word")


def test_silence_is_a_failure(publisher: Publisher) -> None:
    """After the time that the operator set."""
    assert read_all(publisher.reader) == HEADER
    assert publisher.reader.failure == SourceError("silent", "nothing came for 0.2 s")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(ChunkWriter().write(6, Message(4, 0, 0, bytes.fromhex("0003 00000001 00000001"))), id="control"),
        pytest.param(ChunkWriter().chunks(6, Message(9, 0, 1, bytes(1000)))[0], id="drip"),
    ],
)
def test_bytes_without_picture_or_sound_are_silence(sent: bytes) -> None:
    """A message that never ends is no sign of life."""
    times = iter([0.0, 0.25])
    session = PublishSession()
    session.receive(talk())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = FlvReader(ours, rest=b"", state=session.state(), silent_s=SILENT_S, now=lambda: next(times))
        theirs.sendall(sent)

        assert read_all(reader) == HEADER

    assert reader.failure == SourceError("silent", "neither picture nor sound came for 0.2 s")


def test_after_picture_or_sound_the_patience_is_whole_again() -> None:
    """What was spent on a ping is not missing for the next picture."""
    times = iter([0.0, 5.0, 7.5])
    session = PublishSession()
    session.receive(talk())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = FlvReader(ours, rest=b"", state=session.state(), silent_s=10.0, now=lambda: next(times))
        whole = ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
        assert reader.read(100) == HEADER
        theirs.sendall(ChunkWriter().write(6, Message(4, 0, 0, bytes.fromhex("0006 00000001"))))
        reading = threading.Thread(target=reader.read, args=(100,))
        reading.start()
        told = bytearray()
        while PONG not in told:
            told += theirs.recv(1000)

        theirs.sendall(ChunkWriter().write(6, Message(9, 0, 1, b"v")))
        reading.join()

        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16) == whole


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param(b"\xff" * 100, id="chunks"),
        pytest.param(ChunkWriter().write(6, Message(20, 0, 1, b"\x07")), id="command"),
    ],
)
def test_nonsense_is_a_failure(publisher: Publisher, nonsense: bytes) -> None:
    """What came before it is given."""
    publisher.send(Message(9, 0, 1, b"good"))
    publisher.sock.sendall(nonsense)

    assert read_all(publisher.reader) == HEADER + tag(9, 0, b"good")
    assert publisher.reader.failure is not None
    assert publisher.reader.failure.reason == "garbage"


def test_interrupted_it_ends(publisher: Publisher) -> None:
    """And goes on ending."""
    publisher.reader.interrupt()

    assert read_all(publisher.reader) == HEADER
    assert publisher.reader.read(1) == b""


@pytest.mark.parametrize("reason", ["unsupported", None])
def test_the_publisher_is_told_why_it_was_cut_off(publisher: Publisher, reason: str | None) -> None:
    """It may show it to somebody."""
    publisher.reader.close(None if reason is None else SourceError(reason, "VP6"))

    told = [decode(bytes(each.payload)) for each in publisher.answers() if each.kind == 20]

    assert told[-1][3]["level"] == "error"
    assert (reason or "replaced") in told[-1][3]["description"]
    assert publisher.sock.recv(1) == b""


def test_who_ended_in_order_is_told_nothing(publisher: Publisher) -> None:
    """It does not listen any longer."""
    publisher.end()
    read_all(publisher.reader)
    publisher.answers()

    publisher.reader.close()

    assert publisher.answers() == []
