"""The watch page in Chromium, on the running line: the picture goes on, whatever happens behind it."""

import statistics
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from sluice import names
from sluice.contracts.camera import Camera
from tests.browser.conftest import CAMERA, CHUNK_S, SOURCE, add
from tests.browser.faults import change, chunks, kill, second_packager, without_packager
from tests.browser.judge import Judge
from tests.browser.watched import Watched, opened, plain
from tests.services.line import Line, eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]

LIVE_S = 60
OUTAGE_S = 15
STALL_S = 0.5
USUAL_S = 8
"""How far behind the page stays: two target durations."""
LATE_S = 4 * CHUNK_S
"""No page may be later."""
PLAIN_LATENCY_S = 16
"""Of a player that stays three target durations behind, as they do unless told."""
LIVE = "live-4.m3u8"
GROWING = "growing"


@pytest.fixture(scope="module")
def judge(link: Callable[[str], str]) -> Iterator[Judge]:
    """Reads each refresh, whatever the tests do."""
    judge = Judge(link("").rstrip("/"), CAMERA)
    judge.start()
    yield judge
    judge.stop()


@pytest.fixture(scope="module")
def watched(chromium: Browser, link: Callable[[str], str], watching: Line, judge: Judge) -> Watched:
    """The page, once some chunks are listed and it plays."""
    eventually("four chunks", lambda: len(chunks(watching, CAMERA)) >= 4)
    page = opened(chromium, link(f"watch/{CAMERA}"))
    page.plays()
    page.until("it is live", lambda: page.text("state") == "live")
    return page


@pytest.fixture
def steady(watched: Watched) -> None:
    """It is as far behind as usual: what the test before has cost is made up for."""
    until_usual(watched)


@pytest.fixture(scope="module")
def unaided(chromium: Browser, link: Callable[[str], str], watched: Watched) -> Watched:
    """hls.js as it comes, beside the page."""
    player = plain(chromium, link(""), CAMERA)
    player.plays()
    return player


def test_it_plays_without_a_stall(watched: Watched) -> None:
    """No movement is missed for half a second, nothing goes wrong, and the picture is four chunks old at most."""
    watched.mark()

    watched.rest(LIVE_S)

    assert watched.longest_stall_s() <= STALL_S
    assert watched.problems() == []
    assert watched.latency_s() <= LATE_S


def test_hls_js_as_it_comes_plays_soon_after(unaided: Watched) -> None:
    """By the clock in its picture; nobody told it how far behind to stay."""
    unaided.mark()

    unaided.rest(10)

    assert unaided.longest_stall_s() <= STALL_S
    assert unaided.looks(1)[0].age_s <= PLAIN_LATENCY_S
    assert unaided.problems() == []


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


def test_it_goes_on_after_the_camera_was_away(watched: Watched, unaided: Watched, watching: Line) -> None:
    """A new session: what is shown comes from it, and nobody touched the page.

    The break has eaten of what was loaded ahead; the page makes that up, unnoticed.
    """
    before = session_of(watching)
    change(watching, CAMERA, paused=True)
    watched.rest(3)
    change(watching, CAMERA, paused=False)

    watched.until("a chunk of a new session", lambda: session_of(watching) > before)
    watched.mark()
    watched.rest(12)

    assert watched.text("state") == "live"
    assert watched.plays(within_s=2) < 2
    assert [each for each in watched.looks(3) if each.age_s < LATE_S]
    until_usual(watched)
    assert watched.problems() == []
    unaided.plays(within_s=20)


@pytest.mark.usefixtures("steady")
def test_it_goes_on_with_two_packagers(watched: Watched, watching: Line, judge: Judge) -> None:
    """Both are told of each chunk at once; players see one playlist."""
    with second_packager(watching):
        eventually("the second is at work", lambda: watching.instances("packageagain"))
        watched.mark()
        watched.rest(4 * CHUNK_S)
        both = [watching.instances(each) for each in ("package", "packageagain")]

    assert all(both)
    assert watched.longest_stall_s() <= STALL_S
    assert judge.broken == []
    assert watched.problems() == []


@pytest.mark.usefixtures("steady")
def test_it_goes_on_without_its_playlist(watched: Watched, watching: Line, judge: Judge) -> None:
    """It was deleted, and begins again at the newest chunk.

    At worst one that nobody has read yet is left out, and the one behind it has to be waited for.
    """
    watched.mark()

    judge.lose(LIVE, lambda: watching.store().delete([names.live_playlist_key(CAMERA, 4)]))
    watched.rest(10)

    assert watched.longest_stall_s() <= 2 * CHUNK_S
    assert watched.text("message") == ""
    assert watched.problems() == []


@pytest.mark.usefixtures("steady")
def test_it_goes_on_when_the_gateway_is_killed(watched: Watched, watching: Line) -> None:
    """Whatever the viewer was loading is loaded again."""
    watched.mark()

    kill(watching.instances("gateway"))
    watched.rest(10)

    assert watched.longest_stall_s() <= STALL_S
    assert watched.plays(within_s=2) < 2
    assert watched.problems() == []


@pytest.mark.usefixtures("steady")
def test_it_goes_on_over_a_chunk_that_is_missing(
    watched: Watched, unaided: Watched, watching: Line, judge: Judge
) -> None:
    """Its place in the list is an EXT-X-GAP; the picture is that of the next chunk as soon as its turn comes."""
    with without_packager(watching):
        newest = chunks(watching, CAMERA)[-1].seq
        eventually("three chunks", lambda: chunks(watching, CAMERA)[-1].seq >= newest + 3)
        missing = chunks(watching, CAMERA)[-2]
        watching.store().delete([missing.key])
    watched.until("the gap", lambda: missing.seq in judge.gaps(LIVE))

    for player in (watched, unaided):
        shows(player, missing.end_ms)
        player.mark()
    watched.rest(3)

    assert watched.longest_stall_s() <= STALL_S
    assert unaided.longest_stall_s() <= STALL_S
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
    watched.until("it is near again", lambda: watched.latency_s() <= LATE_S + 4, within_s=20)
    assert watched.problems() == []


def test_every_refresh_was_good(judge: Judge) -> None:
    """Whatever happened: nothing was edited, numbers went on, and hls-parser, strict, has nothing against any."""
    assert judge.verdict() == []
    assert judge.refreshes[LIVE].count >= LIVE_S


def test_it_goes_on_when_the_gop_grows(chromium: Browser, link: Callable[[str], str], watching: Line) -> None:
    """Chunks no longer fit the target duration: the list ends, and the page opens the one that the index names now.

    hls.js as it comes plays to the end of the list that it knows, and stops as at the end of a film.
    """
    judge = Judge(link("").rstrip("/"), GROWING)
    judge.start()
    add(watching, Camera(name=GROWING, source=SOURCE, functions={}))
    eventually("two chunks", lambda: len(chunks(watching, GROWING)) >= 2)
    page, unaided = opened(chromium, link(f"watch/{GROWING}")), plain(chromium, link(""), GROWING)
    page.plays()
    unaided.plays()

    change(watching, GROWING, source=SOURCE.replace("gop=25", "gop=125"))
    eventually("another list", lambda: len(judge.refreshes) == 2)
    began = time.time() * 1000
    shows(page, began, within_s=60)

    judge.stop()
    assert judge.verdict() == []
    assert [each for each in judge.refreshes if each != LIVE] == ["live-7.m3u8"]
    assert page.problems() == []
    assert unaided.page.evaluate("document.querySelector('video').ended")


def shows(player: Watched, taken_ms: float, *, within_s: float = 30) -> None:
    """Wait for a picture that was taken then or later."""
    player.until("such a picture", lambda: player.looks(1)[0].taken_ms >= taken_ms, within_s=within_s)


def until_usual(page: Watched) -> None:
    """Wait until a late chunk finds a reserve again."""
    page.until("it is as far behind as usual", lambda: USUAL_S - 1 <= page.latency_s() <= LATE_S, within_s=60)


def session_of(line: Line) -> int:
    """Of the newest chunk."""
    return chunks(line, CAMERA)[-1].session
