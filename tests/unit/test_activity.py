"""Activity from packet sizes: idle wants proof, active a rise, and until there is a norm nothing is said."""

import io
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.activity import MEMORY, WARM, Activity

Sizes = Callable[[random.Random], tuple[list[int], list[int]]]


def quiet(chance: random.Random, *, scale: float = 1) -> tuple[list[int], list[int]]:
    """A second of a still scene: a keyframe and 24 P-frames."""
    return [round(20_000 * scale * chance.uniform(0.95, 1.05))], [
        round(400 * scale * chance.uniform(0.8, 1.2)) for _ in range(24)
    ]


def busy(chance: random.Random) -> tuple[list[int], list[int]]:
    keyframes, others = quiet(chance)
    return keyframes, [round(size * chance.uniform(2, 4)) for size in others]


def answers(activity: Activity, scenes: Sequence[Sizes], seed: int = 1) -> list[str]:
    chance, said = random.Random(seed), []
    for scene in scenes:
        for _ in range(3):
            keyframes, others = scene(chance)
            for size in keyframes:
                activity.seen(size, keyframe=True)
            for size in others:
                activity.seen(size, keyframe=False)
        said.append(activity.chunk())
    return said


def test_nothing_is_said_before_it_is_warm() -> None:
    """Without a norm any answer would be a guess."""
    said = answers(Activity(), [busy, *[quiet] * (WARM - 2), busy, *[quiet] * 5])

    assert said == ["unknown"] * (WARM - 1) + ["active"] + ["idle"] * 5


def test_who_never_showed_anything_else_is_not_called_idle() -> None:
    """A small thing that moves all the time looks like rest, and must be looked at."""
    assert set(answers(Activity(), [quiet] * 300)) == {"unknown"}


def test_rest_that_rises_has_to_be_proven_anew() -> None:
    """What moves now may be the new level."""

    def livelier(chance: random.Random) -> tuple[list[int], list[int]]:
        keyframes, others = quiet(chance)
        return keyframes, [round(size * 1.5) for size in others]

    said = answers(Activity(), [*[quiet] * 20, busy, *[quiet] * 5, *[livelier] * (MEMORY + 10)])

    assert said[21:26] == ["idle"] * 5
    assert said[-1] == "unknown"


@given(st.integers(0, 1000))
def test_movement_is_active_and_rest_is_idle(seed: int) -> None:
    """And back again, at once."""
    said = answers(Activity(), [quiet] * 20 + [busy] * 10 + [quiet] * 5, seed)

    assert said == ["unknown"] * 20 + ["active"] * 10 + ["idle"] * 5


def test_half_a_second_is_enough() -> None:
    """Somebody who crosses quickly is not averaged away."""
    seconds = iter([True, False, False])

    def somebody_crosses(chance: random.Random) -> tuple[list[int], list[int]]:
        keyframes, others = quiet(chance)
        factor = 3 if next(seconds) else 1
        return keyframes, [size * factor if 6 <= at < 18 else size for at, size in enumerate(others)]

    assert answers(Activity(), [quiet] * 20 + [somebody_crosses])[-1] == "active"


def test_the_bit_rate_does_not_matter() -> None:
    """Variable bit rate: both kinds of frame grow and shrink together."""
    scenes = [partial(quiet, scale=1 + (at % 20) / 4) for at in range(60)]

    assert set(answers(Activity(), [*[quiet] * WARM, busy, *scenes])[WARM + 1 :]) == {"idle"}


def test_a_street_that_never_rests_is_never_idle() -> None:
    """Large P-frames are movement, however usual: a chunk called idle would not be looked at."""

    def street(chance: random.Random) -> tuple[list[int], list[int]]:
        return [20_000], [round(chance.uniform(6_000, 9_000)) for _ in range(24)]

    assert "idle" not in answers(Activity(), [street] * 300)


def test_a_level_near_a_line_does_not_flicker() -> None:
    """Between both lines the last answer stays."""

    def between(chance: random.Random) -> tuple[list[int], list[int]]:
        return [20_000], [580] * 24

    def rest(chance: random.Random) -> tuple[list[int], list[int]]:
        return [20_000], [400] * 24

    assert answers(Activity(), [rest] * 20 + [busy, rest] + [between] * 5)[-5:] == ["idle"] * 5
    assert answers(Activity(), [rest] * 20 + [busy] + [between] * 5)[-5:] == ["active"] * 5


def test_frames_that_are_all_keyframes_are_judged_by_their_spread() -> None:
    """A still scene is as large each time; it is called idle only after it was seen to be otherwise."""

    def still(chance: random.Random) -> tuple[list[int], list[int]]:
        return [round(20_000 * chance.uniform(0.998, 1.002)) for _ in range(25)], []

    def moving(chance: random.Random) -> tuple[list[int], list[int]]:
        return [round(20_000 * chance.uniform(0.9, 1.1)) for _ in range(25)], []

    said = answers(Activity(), [still] * 20 + [moving] * 8 + [still] * 5)

    assert set(said[:20]) == {"unknown"}
    assert said[20:] == ["active"] * 8 + ["idle"] * 5


def test_what_was_is_forgotten_in_time() -> None:
    """Its memory is bounded, and a new norm takes over."""
    activity = Activity()

    answers(activity, [quiet] * (MEMORY + 50))

    assert len(activity._levels) == len(activity._sorted) == MEMORY
    assert sorted(activity._levels) == activity._sorted


@given(st.lists(st.lists(st.tuples(st.integers(0, 10**7), st.booleans()), max_size=40), max_size=40))
def test_any_sizes_have_an_answer(chunks: list[list[tuple[int, bool]]]) -> None:
    """Empty packets, a single frame, no keyframe at all: never an error."""
    activity = Activity()

    for packets in chunks:
        for size, keyframe in packets:
            activity.seen(size, keyframe=keyframe)

        assert activity.chunk() in ("active", "idle", "unknown")


@pytest.mark.parametrize("bf", [0, 2])
def test_an_encoders_own_packets_are_told_apart(bf: int) -> None:
    """Twenty seconds of a noisy still picture, four with a square that moves through it, and stillness again."""
    activity, said = Activity(), []
    for at, (size, keyframe) in enumerate(encoded(still=500, moving=100, bf=bf)):
        if keyframe and at:
            said.append(activity.chunk())
        activity.seen(size, keyframe=keyframe)
    said.append(activity.chunk())

    assert set(said[:20]) == {"unknown"}
    assert said[20:24] == ["active"] * 4
    assert set(said[25:]) == {"idle"}


def encoded(*, still: int, moving: int, bf: int) -> list[tuple[int, bool]]:
    """Sizes of an encoder's packets, a keyframe a second."""
    chance = np.random.default_rng(1)
    options = {"preset": "veryfast", "x264-params": "scenecut=0:threads=1"}
    with av.open(io.BytesIO(), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=Fraction(25), options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 25, bf
        packets = []
        for number in range(2 * still + moving):
            image = np.full((96, 160, 3), 90, np.uint8) + chance.integers(0, 4, (96, 160, 3), np.uint8)
            image[:, ::8] = 30
            if still <= number < still + moving:
                x = (number - still) * 3 % 120
                image[30:70, x : x + 30] = chance.integers(0, 255, (40, 30, 3), np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24"))
        packets += stream.encode(None)
    return [(packet.size, packet.is_keyframe) for packet in packets]
