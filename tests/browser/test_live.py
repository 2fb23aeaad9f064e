"""The watch page in Chromium, on the running line: the picture goes on, whatever happens behind it."""

import contextlib
import os
import signal
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from sluice import cameras, names
from tests.browser.conftest import CAMERA, CHUNK_S
from tests.browser.watched import Watched, opened
from tests.services.line import Line, eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]

LIVE_S = 25
OUTAGE_S = 15
STALL_S = 0.5
PLAYLIST = names.live_playlist_key(CAMERA, 4)


@pytest.fixture(scope="module")
def watched(chromium: Browser, link: Callable[[str], str], watching: Line) -> Watched:
    """The page, once some chunks are listed and it plays."""
    eventually("four chunks", lambda: len(list(watching.store().list(f"chunks/{CAMERA}/"))) >= 4)
    page = opened(chromium, link(f"watch/{CAMERA}"))
    page.plays()
    page.until("it is live", lambda: page.text("state") == "live")
    return page


def test_it_plays_without_a_stall(watched: Watched) -> None:
    """No movement is missed for half a second, nothing goes wrong, and the picture is four chunks old at most."""
    watched.mark()

    watched.rest(LIVE_S)

    assert watched.longest_stall_s() <= STALL_S
    assert watched.problems() == []
    assert watched.latency_s() <= 4 * CHUNK_S


def test_boxes_lie_on_the_object(watched: Watched) -> None:
    """At the very picture that is shown: what was found a moment before would lag behind."""
    watched.until("a box", lambda: watched.text("seen") == "square")

    looks = watched.looks(15)

    found = sorted(each.overlap for each in looks)
    assert found[0] >= 0.7, found
    assert statistics.median(found) >= 0.85


def test_the_latency_shown_is_the_picture_s_age(watched: Watched) -> None:
    """By the clock in the picture; the chunk's start is when it was received."""

    def difference_s() -> float:
        return abs(watched.looks(1)[0].age_s - watched.latency_s())

    # A machine that has more to do than it can draws the pattern late.
    watched.until("both agree", lambda: difference_s() <= 1, within_s=15)


def test_it_goes_on_after_the_camera_was_away(watched: Watched, watching: Line) -> None:
    """A new session: what is shown comes from it, and nobody touched the page."""
    paused(watching, yes=True)
    eventually("its last chunk", lambda: session_of(watching) == 1)
    watched.rest(3)
    paused(watching, yes=False)

    watched.until("a chunk of a new session", lambda: session_of(watching) > 1)
    watched.mark()
    watched.rest(12)

    assert watched.text("state") == "live"
    assert watched.plays(within_s=2) < 2
    assert [each for each in watched.looks(3) if each.age_s < 4 * CHUNK_S]
    assert watched.problems() == []


def test_it_goes_on_without_its_playlist(watched: Watched, watching: Line) -> None:
    """It was deleted, and begins again at the newest chunk: at worst one that nobody has read yet is left out."""
    watched.mark()

    watching.store().delete([PLAYLIST])
    watched.rest(10)

    assert watched.longest_stall_s() <= CHUNK_S
    assert watched.text("message") == ""
    assert watched.problems() == []


def test_it_goes_on_when_the_gateway_is_killed(watched: Watched, watching: Line) -> None:
    """Whatever the viewer was loading is loaded again."""
    watched.mark()

    killed = watching.instances("gateway")
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    watched.rest(10)

    assert killed
    assert watched.longest_stall_s() <= STALL_S
    assert watched.plays(within_s=2) < 2
    assert watched.problems() == []


def test_it_resumes_when_the_packager_is_back(watched: Watched, watching: Line) -> None:
    """It runs out of picture and says so; what was recorded meanwhile is listed, and plays within five seconds."""
    with without_packager(watching):
        watched.until("it says why", lambda: "offline" in watched.text("message"), within_s=2 * OUTAGE_S)
        before = watched.seconds()
        watched.rest(1)
        stood = watched.seconds() == before

    took = watched.plays(within_s=20)

    assert stood
    assert took <= 5
    watched.until("it is near again", lambda: watched.latency_s() <= 4 * CHUNK_S + 4, within_s=20)
    assert watched.problems() == []


@contextlib.contextmanager
def without_packager(line: Line) -> Iterator[None]:
    """Nobody tells it of chunks, until the end of the block."""
    trigger, aside = line.manifests / "chunk-stored-to-package.yaml", line.home / "aside.yaml"
    trigger.rename(aside)
    try:
        yield
    finally:
        aside.rename(trigger)


def paused(line: Line, *, yes: bool) -> None:
    """Stop the camera, or have it go on."""
    with contextlib.closing(line.bus()) as bus:
        cameras.change(line.store(), bus, CAMERA, lambda camera: replace(camera, paused=yes))


def session_of(line: Line) -> int:
    """Of the newest chunk."""
    return max(names.parse_chunk_key(each.key).session for each in line.store().list(f"chunks/{CAMERA}/"))
