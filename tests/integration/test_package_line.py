"""On the running line: what the segmenter stores is listed, and a player that knows nothing of us plays it."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice import cameras, names
from sluice.contracts.camera import Camera
from sluice.errors import ObjectNotFoundError
from sluice.names import parse_chunk_key
from tests.builders import a_chunk_name
from tests.playlists import AGAIN, Refreshes, read
from tests.services.line import Line, copy_manifests, eventually, needs_tools
from tests.services.mirror import mirror

pytestmark = [pytest.mark.line]

CAMERA = "hall"
LIVE = names.live_playlist_key(CAMERA, 4)
INDEX = names.multivariant_key(CAMERA)


@pytest.fixture(scope="module")
def packaging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The shipped line with one camera, and nobody but package behind the Broker."""
    needs_tools()
    line = Line(tmp_path_factory.mktemp("packaging"))
    copy_manifests(line, without=("detect", "inspect", "index", "gateway"))
    try:
        line.start()
        source = "test://?size=320x180&fps=25&gop=25&bf=2&audio=1"
        cameras.create(line.store(), line.bus(), Camera(name=CAMERA, source=source, functions={}))
        yield line
    finally:
        line.stop()


def text_of(line: Line, key: str) -> str:
    try:
        return line.store().get(key).body.decode()
    except ObjectNotFoundError:
        return ""


def has(line: Line, entries: int) -> bool:
    text = text_of(line, LIVE)
    return bool(text) and len(read(text).playable) >= entries


def test_a_player_plays_what_is_listed(packaging: Line, tmp_path: Path) -> None:
    """Ffprobe opens the index, goes on to the live playlist and reads frames without a word of complaint."""
    eventually("four entries", lambda: has(packaging, 4))

    with mirror(packaging.store()) as url:
        command = [
            "ffprobe",
            "-v",
            "warning",
            "-read_intervals",
            "%+#400",
            "-show_entries",
            "frame=pts_time,media_type",
        ]
        played = subprocess.run(
            [*command, "-of", "json", f"{url}/{INDEX}"], capture_output=True, text=True, timeout=60, check=False
        )

    frames = json.loads(played.stdout)["frames"]
    said = [line for line in played.stderr.splitlines() if AGAIN not in line]
    assert (played.returncode, said) == (0, [])
    assert sum(each["media_type"] == "video" for each in frames) >= 140
    assert any(each["media_type"] == "audio" for each in frames)


def test_the_index_says_what_a_player_must_know(packaging: Line) -> None:
    """Of the chunks' metadata, without a look into them; and caches are told how long it keeps."""
    eventually("an index", lambda: text_of(packaging, INDEX))
    found = packaging.store().get(INDEX)
    text = found.body.decode()

    assert 'CODECS="avc1.' in text
    assert "mp4a.40.2" in text
    assert "RESOLUTION=320x180,FRAME-RATE=25.000" in text
    assert "live-4.m3u8" in text
    assert found.content_type == "application/vnd.apple.mpegurl"
    assert found.cache_control == "max-age=2"
    assert packaging.store().get(LIVE).cache_control == "max-age=1"


def test_every_chunk_is_listed_in_order(packaging: Line) -> None:
    """From refresh to refresh nothing changes but what was added and what went; each update is told once."""
    refreshes = Refreshes()

    def ten() -> bool:
        refreshes.see(text_of(packaging, LIVE))
        return len(refreshes.seen) >= 8

    eventually("eight entries", ten)

    stored = [parse_chunk_key(each.key).seq for each in packaging.store().list(f"chunks/{CAMERA}/")]
    told = [json.loads(payload) for payload in packaging.messages("playlists", CAMERA)]
    assert not [each for each in refreshes.seen.values() if each.gap]
    assert set(refreshes.seen) <= set(stored)
    assert len({each["chunk"]["key"] for each in told}) == len(told)
    assert sum(each["listed"] for each in told) >= 8


def test_the_sweeper_may_look_at_playlists(packaging: Line) -> None:
    """With the rights that it has: where a list is, and where there is none."""
    url = packaging.runtime()["endpoints"]["services"]["sweep"]
    packaging.store().put(f"chunks/nobody/{'/'.join(a_chunk_name('nobody').key.split('/')[2:])}", b"x")

    for _ in range(2):
        request = urllib.request.Request(url, data=b"{}", method="POST")
        assert urllib.request.urlopen(request, timeout=50).status == 204

    swept = {each.key for each in packaging.store().list("state/sweep/")}
    assert {names.state_key("sweep", camera) for camera in (CAMERA, "nobody")} <= swept
