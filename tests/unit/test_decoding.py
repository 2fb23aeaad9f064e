"""When pictures are decoded, told from when they are shown."""

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.parameters import Parameters
from segmenter.pattern import pattern_clip
from segmenter.sources.decoding import DecodingTimes
from segmenter.sources.reordering import DEPTH_MOST, UNTOLD, Reordering, reordering

CLOCK = Fraction(1, 90_000)
STEP = 3600
PYRAMID = (0, 4, 2, 1, 3)


def decoded(shown: list[int], told: Reordering, tick: Fraction = CLOCK) -> list[tuple[int, int]]:
    times, found = DecodingTimes[int](tick, told), list[tuple[int, int, int]]()
    for number, each in enumerate(shown):
        found += times.add(each, number)
    found += times.rest()
    assert [number for _, _, number in found] == list(range(len(shown)))
    return [(shown, decoded) for shown, decoded, _ in found]


def shown_and_decoded(film: Any) -> tuple[list[int], list[int]]:
    film.container.seek(0)
    packets = [packet for packet in film.container.demux(film) if packet.size]
    return [packet.pts for packet in packets], [packet.dts for packet in packets]


def pyramids(count: int) -> list[int]:
    """Times of a keyframe each, and a pyramid of B-frames; two are reordered."""
    return [STEP * (5 * group + each) for group in range(count) for each in PYRAMID]


@pytest.fixture(scope="module", params=["h264", "h265"])
def film(request: pytest.FixtureRequest) -> Iterator[Any]:
    with av.open(io.BytesIO(pattern_clip(size=(320, 180), seconds=2, gop=25, codec=request.param))) as container:
        yield container.streams.video[0]


def test_the_times_are_the_encoder_s_own(film: Any) -> None:
    """Where the parameter sets say how many pictures are reordered."""
    shown, said = shown_and_decoded(film)
    sets = Parameters(film.codec_context.name, film.codec_context.extradata).sets

    found = decoded(shown, reordering(film.codec_context.name, sets), film.time_base)

    assert [each for _, each in found] == said


def test_where_nothing_says_how_many_are_reordered_it_is_seen(film: Any) -> None:
    """An encoder may reserve one more than it uses, so they may be decoded a picture later than it said."""
    shown, said = shown_and_decoded(film)

    found = decoded(shown, UNTOLD, film.time_base)

    late = [ours - its for (_, ours), its in zip(found, said, strict=True)]
    assert [each for each, _ in found] == shown
    assert late == [late[0]] * len(late)


def test_without_reordering_a_picture_is_decoded_when_it_is_shown() -> None:
    """At once."""
    times = DecodingTimes[str](CLOCK, Reordering(depth=0))

    assert times.add(7, "picture") == [(7, 7, "picture")]


def test_a_picture_before_its_time_shows_that_more_are_reordered() -> None:
    """The parameter sets said none: for one pyramid pictures are shown late, then all is well."""
    found = decoded(pyramids(10), Reordering(depth=0))

    assert [shown for shown, _ in found][5:] == pyramids(10)[5:]
    assert all(later[1] > earlier[1] for earlier, later in pairwise(found))


def test_a_camera_that_counts_anew_begins_anew() -> None:
    """Nothing of the times before is left."""
    shown = pyramids(4)
    anew = [each + (1 << 30) for each in shown]

    found = decoded([*shown, *anew], Reordering(depth=2, picture_s=STEP * CLOCK))

    assert [each - (1 << 30) for _, each in found[len(shown) :]] == [each for _, each in found[: len(shown)]]


def test_pictures_are_held_for_a_second_at_most() -> None:
    """A camera of one picture in five seconds must not seem silent."""
    times = DecodingTimes[int](CLOCK, UNTOLD)

    assert times.add(0, 1) == []
    assert [number for _, _, number in times.add(5 * 90_000, 2)] == [1, 2]


@given(
    st.lists(st.integers(-(1 << 40), 1 << 40) | st.integers(0, 100_000), max_size=60),
    st.sampled_from([UNTOLD, Reordering(depth=0), Reordering(depth=2), Reordering(depth=3, picture_s=Fraction(1, 25))]),
)
def test_whatever_the_times_none_is_shown_before_it_is_decoded(shown: list[int], told: Reordering) -> None:
    """And no picture is kept for ever."""
    times, held = DecodingTimes[int](CLOCK, told), 0
    for each in shown:
        found = times.add(each, 0)
        held += 1 - len(found)

        assert held <= DEPTH_MOST + 1
        assert all(decoded <= shown for shown, decoded, _ in found)


BASELINE = "6742c00cda05067e7c0440000003004000000c83c50aa8"
HIGH = "6764001eacd940a02ff97011000003000100000300320f162d96"


@pytest.mark.parametrize(("parameters", "depth"), [(BASELINE, 0), (HIGH, 2)])
def test_parameter_sets_of_h264_say_how_many_are_reordered(parameters: str, depth: int) -> None:
    """As x264 writes them, at 25 pictures a second."""
    told = reordering("h264", frozenset({bytes.fromhex(parameters)}))

    assert told == Reordering(depth=depth, picture_s=Fraction(1, 25))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_torn_parameter_sets_say_nothing(codec: str) -> None:
    """Nor do ones of another kind."""
    sets = {b"", b"\x67", b"\x42", b"\x67\x64\x00\x1e", b"\x42\x01" + bytes(30), b"\x67" + bytes(2000)}

    assert all(reordering(codec, frozenset({each})) == UNTOLD for each in sets)


@given(st.binary(max_size=80), st.sampled_from(["h264", "hevc"]))
def test_any_bytes_are_parameter_sets_or_none(data: bytes, codec: str) -> None:
    """They are a stranger's."""
    found = reordering(codec, frozenset({(b"\x42\x01" if codec == "hevc" else b"\x67") + data}))

    assert found.depth is None or 0 <= found.depth <= DEPTH_MOST
