"""A picture out of a chunk shows what the camera saw, and hostile chunks give none."""

import io
from typing import Any

import av
import numpy as np
import pytest

from segmenter.muxer import one_chunk
from segmenter.pattern import pattern_clip
from sluice.errors import UnusableInputError
from sluice.picture import last_keyframe
from sluice.testing.detector import SeesSquares
from tests.builders import NOON_MS, a_small_chunk


def pixels(jpeg: bytes) -> Any:
    with av.open(io.BytesIO(jpeg), "r", format="mjpeg") as container:
        [frame] = container.decode(video=0)
        return frame.to_ndarray(format="rgb24")


def squares(jpeg: bytes) -> int:
    return len(SeesSquares().detect("squares", pixels(jpeg)[np.newaxis])[0])


def test_it_shows_what_the_camera_saw() -> None:
    """The pattern's square in its colour, at the size of the video."""
    picture = last_keyframe(a_small_chunk().body, where="chunk")

    assert (picture.width, picture.height, picture.offset_s) == (320, 180, 1.0)
    assert pixels(picture.jpeg).shape == (180, 320, 3)
    assert squares(picture.jpeg) == 1


@pytest.mark.parametrize(("until_s", "offset_s"), [(-1, 0), (0, 0), (0.99, 0), (1, 1), (99, 1)])
def test_it_is_the_last_keyframe_until_then(until_s: float, offset_s: float) -> None:
    """The first where none is before."""
    assert last_keyframe(a_small_chunk().body, where="chunk", until_s=until_s).offset_s == offset_s


@pytest.mark.parametrize("made", [{"bf": 2}, {"bf": 2, "open_gop": True}, {"codec": "h265"}], ids=str)
def test_codecs_b_frames_and_odd_sizes_are_no_matter(made: dict[str, Any]) -> None:
    """The keyframe alone is decoded."""
    body = one_chunk(pattern_clip(size=(322, 182), gop=25, seconds=2, **made), anchor_ms=NOON_MS).body

    picture = last_keyframe(body, where="chunk")

    assert (picture.width, picture.height) == (322, 182)
    assert squares(picture.jpeg) == 1


def test_broken_chunks_give_no_picture_and_no_other_error() -> None:
    """Cut anywhere, and overwritten anywhere: a picture or UnusableInputError."""
    body = a_small_chunk().body
    noise = np.random.default_rng(7)
    cut = [body[: len(body) * part // 12] for part in range(12)]
    spoilt = []
    for _ in range(40):
        changed = bytearray(body)
        for at in noise.integers(0, len(body), 30):
            changed[at] = int(noise.integers(0, 256))
        spoilt.append(bytes(changed))

    refused = 0
    for each in (*cut, *spoilt):
        try:
            assert last_keyframe(each, where="chunk").jpeg.startswith(b"\xff\xd8")
        except UnusableInputError:
            refused += 1

    assert refused >= 6


def test_a_picture_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is decoded."""
    monkeypatch.setattr("sluice.video.MAX_PIXELS", 320 * 180 - 1)

    with pytest.raises(UnusableInputError, match="at most 57599 pixels"):
        last_keyframe(a_small_chunk().body, where="chunk")
