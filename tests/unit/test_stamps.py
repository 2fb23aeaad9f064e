"""Time stamps: what can be mended is mended and counted, what cannot is dropped and counted."""

from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.stamps import WRAP, Counts, Stamps
from segmenter.tracks import AnyPacket

TICKS = Fraction(1, 90_000)
FRAME = 3600


def a_packet(pts: int | None, dts: int | None) -> AnyPacket:
    packet: AnyPacket = av.Packet(b"frame")
    packet.pts, packet.dts, packet.time_base = pts, dts, TICKS
    return packet


def fates(stamps: Stamps, times: list[tuple[int | None, int | None]]) -> list[str | tuple[int | None, int | None]]:
    """What each packet's (pts, dts) became, or what became of the packet."""
    said: list[str | tuple[int | None, int | None]] = []
    for pts, dts in times:
        packet = a_packet(pts, dts)
        fate = stamps.video(packet)
        said.append((packet.pts, packet.dts) if fate == "keep" else fate)
    return said


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def stamps(counts: Counts) -> Stamps:
    return Stamps(TICKS, TICKS, counts)


def test_the_first_packet_needs_both_times(stamps: Stamps, counts: Counts) -> None:
    """The first packets of a live source have none."""
    said = fates(stamps, [(None, None), (7200, None), (None, 0), (7200, 3600)])

    assert said == ["drop", "drop", "drop", (7200, 3600)]
    assert counts.waiting == 3


def test_missing_times_follow_the_step_before(stamps: Stamps, counts: Counts) -> None:
    """Without B-frames each picture is shown when it is decoded."""
    said = fates(stamps, [(0, 0), (FRAME, FRAME), (None, None), (3 * FRAME, None), (None, 4 * FRAME)])

    assert said == [(at * FRAME, at * FRAME) for at in range(5)]
    assert (counts.repaired, counts.dropped) == (3, 0)


def test_with_b_frames_the_time_shown_is_never_guessed(stamps: Stamps, counts: Counts) -> None:
    """The time of decoding can be filled in, the order of pictures cannot."""
    said = fates(stamps, [(7200, 0), (18_000, 3600), (None, 7200), (10_800, None)])

    assert said == [(7200, 0), (18_000, 3600), "drop", (10_800, 7200)]
    assert (counts.repaired, counts.dropped) == (1, 1)


def test_a_packet_out_of_order_is_dropped(stamps: Stamps, counts: Counts) -> None:
    """It is late, or came twice; the pictures after it are shown already."""
    said = fates(stamps, [(0, 0), (FRAME, FRAME), (FRAME, FRAME), (0, 0), (2 * FRAME, 2 * FRAME)])

    assert said == [(0, 0), (FRAME, FRAME), "drop", "drop", (2 * FRAME, 2 * FRAME)]
    assert counts.dropped == 2


def test_decoding_time_that_stands_still_is_moved_by_a_tick(stamps: Stamps, counts: Counts) -> None:
    """Containers with coarse times give two packets one."""
    said = fates(stamps, [(7200, 0), (18_000, 3600), (10_800, 3600)])

    assert said == [(7200, 0), (18_000, 3600), (10_800, 3601)]
    assert counts.repaired == 1


def test_a_large_step_back_is_a_new_count(stamps: Stamps) -> None:
    """And goes on from there."""
    said = fates(stamps, [(900_000, 900_000), (0, 0), (FRAME, FRAME)])

    assert said == [(900_000, 900_000), "reset", (FRAME, FRAME)]


def test_a_picture_shown_far_from_its_decoding_is_no_picture(stamps: Stamps, counts: Counts) -> None:
    """An mp4 has 32 bits for the difference, and the muxer refuses a whole chunk for one packet."""
    said = fates(stamps, [(WRAP // 2, 0), (7200, 0), (WRAP // 2, FRAME), (14_400, 7200)])

    assert said == ["drop", (7200, 0), "drop", (14_400, 7200)]
    assert (counts.waiting, counts.dropped) == (1, 1)


@given(st.integers(0, WRAP - 1), st.lists(st.integers(1, 20 * 90_000), min_size=1, max_size=50))
def test_any_wrap_is_undone(first: int, steps: list[int]) -> None:
    """Both times wrap on their own: the first packet may lie across it."""
    stamps, at, said = Stamps(TICKS, None, Counts()), first, []

    for step in [0, *steps]:
        at += step
        packet = a_packet((at + 7200) % WRAP, at % WRAP)

        assert stamps.video(packet) == "keep"
        said.append((packet.pts, packet.dts))

    assert all(pts is not None and dts is not None and pts - dts == 7200 for pts, dts in said)
    assert [dts - first for _, dts in said if dts is not None] == [sum(steps[:count]) for count in range(len(said))]


def test_sound_wraps_with_its_picture(stamps: Stamps, counts: Counts) -> None:
    """On whichever side of the wrap it comes."""
    stamps.video(a_packet(WRAP - 900, WRAP - 900))
    stamps.video(a_packet(2700, 2700))
    before, after = a_packet(WRAP - 100, None), a_packet(1820, None)

    assert stamps.sound(before)
    assert stamps.sound(after)
    assert (before.pts, after.pts) == (WRAP - 100, WRAP + 1820)
    assert (before.dts, after.dts) == (WRAP - 100, WRAP + 1820)
    assert counts.sound_dropped == 0


def test_sound_of_another_count_is_dropped(stamps: Stamps, counts: Counts) -> None:
    """After a reset sound of the old count still comes; a muxer would wait for ever for its picture."""
    stamps.video(a_packet(9_000_000, 9_000_000))
    stamps.video(a_packet(0, 0))

    assert not stamps.sound(a_packet(9_000_000, 9_000_000))
    assert stamps.sound(a_packet(0, 0))
    assert counts.sound_dropped == 1


def test_sound_that_comes_twice_is_dropped(stamps: Stamps, counts: Counts) -> None:
    """The muxer refuses time that stands still."""
    stamps.video(a_packet(0, 0))

    assert [stamps.sound(a_packet(at, at)) for at in (0, 1920, 1920, 960, 3840)] == [True, True, False, False, True]
    assert counts.sound_dropped == 2
