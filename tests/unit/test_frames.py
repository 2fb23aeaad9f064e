"""Frames out of chunks: the right ones, of the right size, whatever is wrong with the rest."""

import io

import av
import numpy as np
import numpy.typing as npt
import pytest

from segmenter.muxer import one_chunk
from segmenter.pattern import pattern_clip, read_strip
from sluice.errors import UnusableInputError
from sluice.frames import Batch, Sampler, Want, scaled
from tests.builders import NOON_MS

KEY = "chunks/gate/x.mp4"


def sampler(body: bytes, *wants: Want, duration_ms: int = 4000, max_batch_bytes: int = 1 << 26) -> Sampler:
    return Sampler(
        body, where=KEY, start_ms=NOON_MS, duration_ms=duration_ms, wants=wants, max_batch_bytes=max_batch_bytes
    )


def a_body(**clip: object) -> bytes:
    return one_chunk(pattern_clip(**{"size": (320, 180), "seconds": 4, **clip}), anchor_ms=NOON_MS, target_s=9).body  # type: ignore[arg-type]  # the clip's own


def numbers(batches: list[Batch]) -> list[int]:
    """What the strips of the pictures say."""
    return [read_strip(frame).number for batch in batches for frame in batch.frames]


@pytest.mark.parametrize("clip", [{"bf": 0}, {"bf": 2}, {"codec": "h265", "bf": 2}, {"gop": 200}, {"gop": 10}])
def test_the_frames_of_the_instants_come_in_order(clip: dict[str, object]) -> None:
    """Those that the strip in the picture says, though most others are never decoded."""
    found = sampler(a_body(**clip), Want(model="m", fps=5, long_side=320))

    batches = list(found)

    assert numbers(batches) == list(range(0, 100, 5))
    assert [ms for batch in batches for ms in batch.offsets_ms] == list(range(0, 4000, 200))
    assert (found.whole, found.decoded, found.width, found.height) == (True, 20, 320, 180)


def test_one_decoding_serves_every_model() -> None:
    """Each at its own rate and size."""
    fast = Want(model="fast", fps=5, long_side=160)
    slow = Want(model="slow", fps=1, long_side=320, max_batch=2)
    found = sampler(a_body(), fast, slow)

    batches = list(found)

    mine = {name: [each for each in batches if each.model == name] for name in ("fast", "slow")}
    assert {each.frames.shape[1:] for each in mine["fast"]} == {(90, 160, 3)}
    assert [each.frames.shape for each in mine["slow"]] == [(2, 180, 320, 3), (2, 180, 320, 3)]
    assert numbers(mine["slow"]) == [0, 25, 50, 75]
    assert found.decoded == 20


def test_batches_are_bounded_in_bytes_and_frames() -> None:
    """Whatever the model would take."""
    size = 180 * 320 * 3

    batches = list(sampler(a_body(), Want(model="m", fps=25, long_side=320, max_batch=64), max_batch_bytes=size * 3))

    assert {len(each.frames) for each in batches} == {3, 1}
    assert sum(len(each.frames) for each in batches) == 100


def test_a_chunk_that_breaks_in_the_middle_is_looked_at_in_part() -> None:
    """What can be decoded is, and the sampler says that it is not the whole."""
    body = bytearray(a_body(gop=25))
    body[len(body) // 2 : len(body) // 2 + 3000] = bytes(3000)

    found = sampler(bytes(body), Want(model="m", fps=5, long_side=320))

    assert 0 < sum(len(each.frames) for each in found) <= 20
    assert not found.whole


def test_a_chunk_without_a_decodable_frame_is_unusable() -> None:
    """Said so, with its key."""
    body = bytearray(a_body())
    media = body.index(b"mdat") + 4
    body[media:] = bytes(len(body) - media)

    with pytest.raises(UnusableInputError, match="chunks/gate"):
        list(sampler(bytes(body), Want(model="m", fps=5, long_side=320)))


def test_in_a_moment_between_two_instants_there_is_nothing_to_look_at() -> None:
    """A camera that is switched off leaves a chunk of few frames behind; nothing is wrong with it."""
    start_ms = NOON_MS + 40
    chunk = one_chunk(pattern_clip(size=(320, 180), seconds=1, fps=25, gop=2), anchor_ms=start_ms, target_s=0.08)
    want = Want(model="m", fps=5, long_side=320)
    found = Sampler(
        chunk.body, where=KEY, start_ms=start_ms, duration_ms=chunk.duration_ms, wants=[want], max_batch_bytes=1 << 26
    )

    assert list(found) == []
    assert (chunk.duration_ms, found.held, found.decoded, found.whole) == (80, 2, 0, True)


def test_colours_are_rgb() -> None:
    """The square is magenta, in this order."""
    [batch] = sampler(a_body(), Want(model="m", fps=0.25, long_side=320))

    square = batch.frames[0][5:20, 5:20].reshape(-1, 3).mean(axis=0)

    assert np.allclose(square, (255, 0, 255), atol=12)


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [
        ((1280, 720), 640, (640, 360)),
        ((720, 1280), 640, (360, 640)),
        ((320, 180), 640, (320, 180)),
        ((9999, 1), 320, (320, 1)),
    ],
)
def test_the_long_side_fits(size: tuple[int, int], long_side: int, expected: tuple[int, int]) -> None:
    """A smaller picture is not blown up."""
    assert scaled(*size, long_side) == expected


def decoded(body: bytes, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Every fifth frame as the standard says, scaled."""
    with av.open(io.BytesIO(body), "r") as container:
        frames = [frame for n, frame in enumerate(container.decode(video=0)) if n % 5 == 0]
        return np.stack([each.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray() for each in frames])


@pytest.mark.parametrize(
    ("clip", "long_side", "exact"),
    [
        ({"gop": 50}, 320, True),
        ({"gop": 50}, 162, True),
        ({"gop": 50}, 160, False),
        ({"gop": 250, "bf": 0}, 160, True),
        ({"gop": 50, "codec": "h265"}, 160, True),
    ],
    ids=["full size", "a little smaller", "half as large", "a long GOP", "H.265"],
)
def test_the_loop_filter_is_left_out_where_it_is_not_seen(
    clip: dict[str, object], long_side: int, *, exact: bool
) -> None:
    """In H.264 that is shrunk by half, if no GOP is so long that the error adds up; else every bit is right."""
    body = one_chunk(pattern_clip(**{"size": (320, 180), "seconds": 5, **clip}), anchor_ms=NOON_MS, target_s=9).body  # type: ignore[arg-type]  # the clip's own

    found = np.concatenate(
        [each.frames for each in sampler(body, Want(model="m", fps=5, long_side=long_side), duration_ms=5000)]
    )

    wanted = decoded(body, *scaled(320, 180, long_side))
    error = float(np.mean((found.astype(float) - wanted) ** 2))
    assert (error == 0) == exact
    assert error < 10, "more than 38 dB are left"
