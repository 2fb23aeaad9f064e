"""Pictures of H.264 out of RTP, whatever the network and the sender did to them."""

import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.source import SourceError
from segmenter.sources import rtp_h264
from segmenter.sources.rtp import RtpPacket
from segmenter.sources.rtp_h264 import Picture, Pictures

START: Final = b"\0\0\0\1"
SPS, PPS = b"\x67sps", b"\x68pps"
IDR, SLICE, FURTHER = b"\x65\x88 keyframe", b"\x41\x9a picture", b"\x41\x1a its rest"
STEP: Final = 3600


def packet(sequence: int, payload: bytes, *, timestamp: int = 0, marker: bool = False) -> RtpPacket:
    return RtpPacket(sequence & 0xFFFF, timestamp, marker, 7, 96, payload)


def fragments(unit: bytes, size: int = 4, *, ended: bool = True) -> list[bytes]:
    pieces = [unit[at : at + size] for at in range(1, len(unit), size)]
    heads = [bytes((unit[0] & 0xE0 | 28, unit[0] & 0x1F | (0x80 if at == 0 else 0))) for at in range(len(pieces))]
    if ended:
        heads[-1] = bytes((heads[-1][0], heads[-1][1] | 0x40))
    return [head + piece for head, piece in zip(heads, pieces, strict=True)]


def stap_a(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def pictures(*packets: RtpPacket) -> list[Picture]:
    taken = Pictures()
    return [*(each for packet in packets for each in taken.add(packet)), *taken.rest()]


def keyframe_and_picture() -> list[RtpPacket]:
    payloads = [SPS, PPS, *fragments(IDR)]
    packets = [packet(at, each, timestamp=0, marker=at == len(payloads) - 1) for at, each in enumerate(payloads)]
    return [*packets, packet(len(packets), SLICE, timestamp=STEP, marker=True)]


@pytest.mark.parametrize(
    "payloads",
    [(SPS, PPS, IDR), (stap_a(SPS, PPS), *fragments(IDR)), (stap_a(SPS, PPS, IDR),), (SPS, PPS, *fragments(IDR, 1))],
    ids=["single", "stap-a and fu-a", "stap-a", "many"],
)
def test_a_picture_is_put_together(payloads: tuple[bytes, ...]) -> None:
    """However its units were packed (RFC 6184)."""
    packets = [packet(65_534 + at, each, marker=at == len(payloads) - 1) for at, each in enumerate(payloads)]

    taken = Pictures()
    found = [each for packet in packets for each in taken.add(packet)]

    assert found == [Picture(0, START + START.join((SPS, PPS, IDR)), keyframe=True, complete=True)]
    assert (taken.rest(), taken.broken) == ([], 0)


def test_without_markers_a_picture_ends_where_the_next_begins() -> None:
    """Some senders set none."""
    found = pictures(packet(0, SPS), packet(1, PPS), packet(2, IDR), packet(3, SLICE, timestamp=STEP))

    assert [(each.timestamp, each.complete) for each in found] == [(0, True), (STEP, False)]


def test_markers_that_stand_at_each_slice_are_believed_no_longer() -> None:
    """The second slice of a picture shows it; from then on pictures are whole."""
    slices = [(at // 2 * STEP, SLICE if at % 2 == 0 else FURTHER) for at in range(8)]

    found = pictures(*(packet(at, each, timestamp=time, marker=True) for at, (time, each) in enumerate(slices)))

    assert [each.data for each in found[2:]] == [START + SLICE + START + FURTHER] * 3


def test_parameter_sets_of_a_time_of_their_own_belong_to_the_keyframe() -> None:
    """Some senders send them ahead, with a marker even."""
    found = pictures(packet(0, stap_a(SPS, PPS), timestamp=5, marker=True), packet(1, IDR, timestamp=STEP, marker=True))

    assert found == [Picture(STEP, START + START.join((SPS, PPS, IDR)), keyframe=True, complete=True)]


def test_a_recovery_point_is_a_keyframe() -> None:
    """Open GOPs and gradual refreshes have no IDR picture but the first."""
    recovery, other = b"\x06\x05\x01x\x06\x01\xc4\x80", b"\x06\x05\x02xx\x80"

    found = pictures(
        packet(0, recovery, timestamp=0),
        packet(1, SLICE, timestamp=0, marker=True),
        packet(2, other, timestamp=STEP),
        packet(3, SLICE, timestamp=STEP, marker=True),
    )

    assert [each.keyframe for each in found] == [True, False]


@pytest.mark.parametrize("lost", range(len(keyframe_and_picture()) - 1))
def test_a_keyframe_of_which_a_packet_was_lost_is_none(lost: int) -> None:
    """A chunk that begins with it could not be shown; the next picture is as it was."""
    packets = keyframe_and_picture()
    del packets[lost]

    found = pictures(*packets)

    if lost:  # nobody knows of a packet before the first
        assert not any(each.keyframe for each in found)
    assert not any(each.complete for each in found)
    assert found[-1].data == START + SLICE


def test_the_end_of_a_fragment_may_be_forgotten() -> None:
    """The marker says it as well, where none was lost."""
    payloads = [SPS, PPS, *fragments(IDR, ended=False)]

    found = pictures(*(packet(at, each, marker=at == len(payloads) - 1) for at, each in enumerate(payloads)))

    assert [(each.data, each.complete) for each in found] == [(START + START.join((SPS, PPS, IDR)), True)]


@pytest.mark.parametrize(
    "payload", [b"\x00", b"\x1e", b"\x79\0\1\x41", b"\x7d" + SLICE, b"\x78\xff\xff\x41", b"\x7c\1x"]
)
def test_what_is_not_h264_is_dropped_and_counted(payload: bytes) -> None:
    """Among it the interleaved packets of mode 2, and fragments without a beginning."""
    taken = Pictures()

    found = [*taken.add(packet(0, payload, marker=True)), *taken.add(packet(1, SLICE, timestamp=STEP, marker=True))]

    assert [each.data for each in found] == [START + SLICE]
    assert taken.broken == 1


@pytest.mark.parametrize(
    "payload", [b"\x7c\x05" + bytes(1000), b"\x41\x9a" + bytes(1000), b"\x06\x01\x01", b"\x7c\x05x"]
)
def test_a_picture_without_end_is_refused(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, by bytes and by units."""
    monkeypatch.setattr(rtp_h264, "PICTURE_BYTES", 100_000)
    taken = Pictures()

    def send() -> None:
        taken.add(packet(0, b"\x7c\x85begin"))
        for sequence in range(1, 10_000):
            taken.add(packet(sequence, payload))

    with pytest.raises(SourceError, match="too-large"):
        send()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, STEP]), st.booleans(), st.binary(min_size=1))))
def test_any_bytes_are_pictures_or_none(sent: list[tuple[int, int, bool, bytes]]) -> None:
    """They are a stranger's."""
    taken, sequence = Pictures(), 0
    for ahead, timestamp, marker, payload in sent:
        sequence += ahead
        for each in taken.add(packet(sequence, payload, timestamp=timestamp, marker=marker)):
            assert each.data.startswith(START)


def test_whatever_is_lost_what_comes_was_sent() -> None:
    """No unit is put together of two halves that do not belong together."""
    units = {bytes((0x41, 0x9A)) + b"%04d" % at * 10 for at in range(200)}
    payloads = [(at, piece) for at, unit in enumerate(sorted(units)) for piece in fragments(unit)]
    sent = [packet(at, piece, timestamp=number * STEP) for at, (number, piece) in enumerate(payloads)]
    chance = random.Random(7)

    found = pictures(*(each for each in sent if chance.random() > 0.02))

    assert 50 < len(found) < 200
    assert {each.data.removeprefix(START) for each in found} <= units
