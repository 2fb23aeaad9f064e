"""Ports that hear whom they are told of, and RTP in order."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.source import SourceError
from segmenter.sources.datagrams import Datagrams, DatagramSource, Stream, datagrams
from segmenter.sources.ports import Port
from segmenter.sources.rtp import WINDOW, InOrder, RtpPacket, parse_rtp
from sluice.address import parse_source

TS = b"\x47" + bytes(187)


def rtp(sequence: int, payload: bytes = TS, *, kind: int = 33, sender: int = 7) -> bytes:
    return struct.pack(">BBHII", 0x80, kind, sequence & 0xFFFF, 0, sender) + payload


def ordered(sequences: list[int]) -> tuple[list[int], int]:
    order, came = InOrder(), list[int]()
    for each in sequences:
        came += [packet.timestamp for packet in order.add(RtpPacket(each & 0xFFFF, each, False, 7, 96, b""))]
    return came, order.lost


Opened = Callable[..., DatagramSource]


@pytest.fixture
def opened() -> Iterator[Opened]:
    made: list[DatagramSource] = []

    def make(*, allow: str = "127.0.0.0/8", rtp: bool = False, silent_s: float = 5.0) -> DatagramSource:
        port = Port("127.0.0.1", 0, allow=allow.split(","), rtp=rtp, silent_s=silent_s)
        port.bind()
        made.append(DatagramSource(port, silent_s=silent_s))
        return made[-1]

    yield make
    for each in made:
        each.interrupt()


def send(source: DatagramSource, *data: bytes, host: str = "127.0.0.1", bound: int = 0) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, bound))
        for each in data:
            sock.sendto(each, ("127.0.0.1", source.port.number))
        return int(sock.getsockname()[1])


def test_whoever_is_not_allowed_is_not_heard(opened: Opened) -> None:
    """Before and between what the camera sends."""
    source = opened(allow="127.0.0.2,127.0.1.0/24")

    send(source, b"\x47 stranger")
    send(source, b"\x47 one", host="127.0.0.2")
    send(source, b"\x47 stranger")
    send(source, b"\x47 two", host="127.0.1.9")

    assert [source.port.receive()[1] for _ in range(2)] == [b"\x47 one", b"\x47 two"]
    assert source.port.refused == 2


def test_what_is_not_what_the_address_says_is_dropped_and_counted(opened: Opened) -> None:
    """A demuxer that is fed noise looks for its beginning for ever."""
    source = opened()

    send(source, b"noise", b"", rtp(1), TS)

    assert source.port.receive()[1] == TS
    assert source.port.broken == 2


def test_a_port_that_hears_nothing_says_so(opened: Opened) -> None:
    """With what it did hear, as that is mostly why."""
    source = opened(allow="127.0.0.2", silent_s=0.05)
    send(source, TS)

    with pytest.raises(SourceError) as caught:
        source.open()

    assert caught.value.reason == "silent"
    assert "expected MPEG-TS" in caught.value.detail
    assert "1 datagrams of senders that are not allowed" in caught.value.detail


def test_a_flood_of_strangers_does_not_hide_that_the_camera_is_silent(opened: Opened) -> None:
    """Nor does it keep the reader from being told anything."""
    source = opened(allow="127.0.0.2", silent_s=0.2)
    over = threading.Event()

    def flood() -> None:
        while not over.wait(0.01):
            send(source, TS)

    flooding = threading.Thread(target=flood)
    flooding.start()
    with pytest.raises(SourceError, match="silent"):
        source.open()
    over.set()
    flooding.join(5)


def test_a_port_that_is_taken_is_a_reason(opened: Opened) -> None:
    """Two cameras with one port: the second is told, again and again."""
    taken = opened().port.number
    source = datagrams(parse_source(f"udp://127.0.0.1:{taken}?allow=127.0.0.1"), silent_s=1)

    with pytest.raises(SourceError, match=f"cannot listen at UDP port {taken} of 127.0.0.1: Address already in use"):
        source.open()


def test_a_name_that_does_not_resolve_is_a_reason() -> None:
    """An operator's slip."""
    source = datagrams(parse_source("udp://nowhere.invalid:5000?allow=127.0.0.1"), silent_s=1)

    with pytest.raises(SourceError, match="unresolvable"):
        source.open()


def test_a_port_is_free_once_its_source_is_interrupted(opened: Opened) -> None:
    """A camera whose address is changed takes the same port again."""
    source = opened()

    source.interrupt()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", source.port.number))
    with pytest.raises(SourceError, match="stopped"):
        source.open()


def test_one_sender_is_listened_to_at_a_time(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cameras that send to one port would be noise; the first wins until it is quiet."""
    source = opened()
    first = send(source, b"\x47 one")
    reader = Stream(Datagrams(source, *source.port.receive()), rtp=False)

    send(source, b"\x47 stranger")
    send(source, b"\x47 two", bound=first)
    came = [reader.read(100), reader.read(100)]
    monkeypatch.setattr("segmenter.sources.datagrams.QUIET_S", -1.0)
    send(source, b"\x47 another")
    with pytest.raises(SourceError, match="another sender took over"):
        reader.read(100)

    assert came == [b"\x47 one", b"\x47 two"]
    assert source.port.receive()[1] == b"\x47 another"
    assert source.port.refused == 1


def test_mpeg_ts_is_taken_out_of_rtp_in_order(opened: Opened) -> None:
    """Its network swapped two packets and lost one."""
    source = opened(rtp=True)
    numbers = [65534, 65535, 1, 0, *range(3, 3 + WINDOW)]
    send(source, *(rtp(each, b"\x47%d" % each) for each in numbers))
    reader = Stream(Datagrams(source, *source.port.receive()), rtp=True)

    came = [reader.read(100) for _ in numbers]

    assert came == [b"\x47%d" % each for each in (65534, 65535, 0, 1, *range(3, 3 + WINDOW))]
    assert source.lost == 1


def test_a_head_of_rtp_is_as_long_as_it_says() -> None:
    """Contributing sources, an extension and padding are no payload."""
    head = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 2, 0x80 | 96, 5, 0, 9) + bytes(8)
    packet = parse_rtp(head + struct.pack(">HH", 0, 1) + bytes(4) + b"payload" + b"\0\0\3")

    assert packet is not None
    assert (packet.sequence, packet.sender, packet.payload_type, packet.payload) == (5, 9, 96, b"payload")


def test_rtcp_on_the_same_port_is_no_rtp() -> None:
    """RFC 5761: its types are 64 to 95 of the second byte's lower seven bits."""
    assert parse_rtp(struct.pack(">BBHII", 0x80, 200, 6, 9, 0) + bytes(20)) is None


@given(st.binary(max_size=64))
def test_any_bytes_are_rtp_or_none(data: bytes) -> None:
    """No error comes out of a datagram."""
    packet = parse_rtp(data)

    assert packet is None or packet.payload


def test_packets_that_are_swapped_come_in_order() -> None:
    """Copies are dropped, and the number may wrap."""
    assert ordered([65533, 65535, 65534, 65534, 1, 0, 2]) == ([65533, 65534, 65535, 0, 1, 2], 0)


def test_a_packet_that_never_comes_is_given_up() -> None:
    """It is waited for as long as the window says; one that comes after that is late."""
    came, lost = ordered([1, *range(3, 4 + WINDOW), 2, 4 + WINDOW])

    assert came == [1, *range(3, 5 + WINDOW)]
    assert lost == 1


def test_a_sender_that_counts_anew_is_followed() -> None:
    """Forward at once; backward when it is sure."""
    forward, _ = ordered([1, 2, 40_000, 40_001])
    backward, _ = ordered([500, *range(1, 201)])

    assert forward == [1, 2, 40_000, 40_001]
    assert backward == [500, *range(100, 201)]


@given(st.lists(st.integers(0, 0xFFFF), max_size=300))
def test_whatever_comes_is_held_within_the_window(sequences: list[int]) -> None:
    """Memory is bounded, and nothing comes twice or from nowhere."""
    order, given_out = InOrder(), 0
    for each in sequences:
        given_out += len(order.add(RtpPacket(each, 0, False, 7, 96, b"")))

        assert len(order._held) < WINDOW
    assert given_out <= len(sequences)


@given(st.integers(0, 0xFFFF), st.permutations(range(20)))
def test_a_window_full_of_packets_comes_in_order(first: int, shuffled: list[int]) -> None:
    """However they were shuffled behind the first."""
    numbers = [first & 0xFFFF, *((first + 1 + each) & 0xFFFF for each in shuffled)]

    came, lost = ordered(numbers)

    assert came == [(first + each) & 0xFFFF for each in range(21)]
    assert lost == 0
