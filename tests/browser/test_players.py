"""Players that know nothing of us, on the running line's gateway: live, a range of the past, and a clip."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice import names
from sluice.names import ChunkName
from tests.browser.conftest import CAMERA
from tests.browser.others import ffprobe, mpv, mpv_pictures, news, strict, vlc
from tests.playlists import Refreshes
from tests.services.line import Line, eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]

REFRESHES_S = 10
LIVE_FRAMES = 600
"""Of 24 seconds; players begin nine back, and the rest comes as it is recorded."""


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture(scope="module")
def recorded(watching: Line) -> list[ChunkName]:
    """Four chunks of one session."""

    def newest() -> list[ChunkName]:
        found = [names.parse_chunk_key(each.key) for each in watching.store().list(f"chunks/{CAMERA}/")]
        return [each for each in found if found and each.session == found[-1].session][-4:]

    eventually("four chunks", lambda: len(newest()) == 4)
    eventually("a live playlist", lambda: list(watching.store().list(names.live_playlist_key(CAMERA, 4))))
    return newest()


@pytest.fixture
def pictures(recorded: list[ChunkName], watching: Line) -> int:
    """How many those chunks have, as the segmenter counted them."""
    metadata = (watching.store().get(each.key).metadata for each in recorded)
    return sum(int(each["frames"]) for each in metadata)


@pytest.fixture
def span(recorded: list[ChunkName]) -> str:
    """The query for those chunks and no other."""
    return f"from={recorded[0].start_ms + 1}&to={recorded[-1].end_ms - 1}"


def test_ffprobe_plays_live_over_refreshes(recorded: list[ChunkName], link: Callable[[str], str]) -> None:
    """From the index on to the live playlist, its chunks by ranges; then each as it comes."""
    frames, warnings = ffprobe(link(f"hls/{CAMERA}/index.m3u8"), frames=LIVE_FRAMES)

    assert news(warnings) == []
    assert frames >= LIVE_FRAMES - 10


def test_ffprobe_plays_the_past_without_a_warning(span: str, pictures: int, link: Callable[[str], str]) -> None:
    """A range as a playlist with an end; every picture of its chunks is there."""
    frames, warnings = ffprobe(link(f"vod/{CAMERA}/index.m3u8?{span}"))

    assert warnings == ""
    assert frames == pictures


def test_every_refresh_is_good(recorded: list[ChunkName], link: Callable[[str], str], span: str) -> None:
    """Hls-parser, strict, has nothing against any; from one to the next nothing is edited and no rule broken."""
    refreshes, texts = Refreshes(), list[str]()
    end = time.monotonic() + REFRESHES_S

    def looked() -> bool:
        texts.append(read(link(f"hls/{CAMERA}/{Path(names.live_playlist_key(CAMERA, 4)).name}")))
        refreshes.see(texts[-1])
        return time.monotonic() > end

    eventually("ten seconds of refreshes", looked)
    others = [read(link(f"hls/{CAMERA}/index.m3u8")), read(link(f"vod/{CAMERA}/index.m3u8?{span}"))]

    assert set(strict([*dict.fromkeys(texts), *others])) == {""}
    assert len(dict.fromkeys(texts)) >= 3


def test_hls_parser_is_strict() -> None:
    """It would tell: an entry longer than the target duration is refused."""
    text = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.6,\na.mp4\n"

    assert strict([text]) != [""]


def test_a_clip_has_every_picture_of_its_chunks(span: str, pictures: int, link: Callable[[str], str]) -> None:
    """No more, no fewer, for two decoders that do not know each other's way to open it."""
    frames, warnings = ffprobe(link(f"clip/{CAMERA}.mp4?{span}"))

    assert warnings == ""
    assert frames == pictures
    assert mpv_pictures(link(f"clip/{CAMERA}.mp4?{span}")) == pictures


@pytest.mark.parametrize("what", ["live", "clip"])
def test_mpv_plays_it(what: str, span: str, link: Callable[[str], str]) -> None:
    """Without a warning; live for longer than the list that it finds."""
    path = f"hls/{CAMERA}/index.m3u8" if what == "live" else f"clip/{CAMERA}.mp4?{span}"

    said = mpv(link(path), frames=LIVE_FRAMES if what == "live" else 100)

    assert news(said) == []


@pytest.mark.parametrize("what", ["live", "clip"])
def test_vlc_plays_it(what: str, span: str, link: Callable[[str], str]) -> None:
    """Without an error."""
    path = f"hls/{CAMERA}/index.m3u8" if what == "live" else f"clip/{CAMERA}.mp4?{span}"

    has_played, errors = vlc(link(path), seconds=15 if what == "live" else 5)

    assert errors == []
    assert has_played
