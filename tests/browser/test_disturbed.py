"""Three minutes of `make soak ARGS="hls 20m"`."""

import pytest

from tests.soak.hls import running, soak

pytestmark = [pytest.mark.line]


def test_a_viewer_plays_on_through_every_fault() -> None:
    """No rule of live playlists is broken, each chunk is listed, and outside of a fault the picture never stands."""
    with running() as line:
        problems = soak(line, 180)

    assert problems == []
