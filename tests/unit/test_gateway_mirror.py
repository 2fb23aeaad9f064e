"""Playlists, chunks and init segments over HTTP: whole, by range, unchanged, bounded, and nothing beside them."""

import pytest

from functions.gateway import mirror
from functions.gateway.settings import GatewaySettings
from sluice.testing.store import MemoryStore
from tests.builders import a_chunk_name
from tests.viewers import Gateway

CHUNK = a_chunk_name()
BODY = bytes(range(256)) * 40
DATES = ["Sat, 21 Nov 2026 12:00:00 GMT", "1 Jan 99999999999999999999 00:00:00 GMT"]
PATH = f"/{CHUNK.key}"


@pytest.fixture
def gateway() -> Gateway:
    made = Gateway()
    made.store.put(CHUNK.key, BODY)
    made.store.put(CHUNK.init_key, b"ftypmoov")
    made.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    made.store.put("hls/gate/live-4.m3u8", b"#EXTM3U\n#EXTINF\n")
    for key in ("hls/gate/notes.txt", "chunks/gate/2026-11-21/12/x.mp4", "init/gate/0a1b2c3d.mp4.json"):
        made.store.put(key, b"private")
    return made


@pytest.mark.parametrize(
    ("path", "media", "caching"),
    [
        ("/hls/gate/index.m3u8", "application/vnd.apple.mpegurl", "private, max-age=1"),
        ("/hls/gate/live-4.m3u8", "application/vnd.apple.mpegurl", "private, max-age=1"),
        (PATH, "video/mp4", "private, max-age=31536000, immutable"),
        (f"/{CHUNK.init_key}", "video/mp4", "private, max-age=31536000, immutable"),
    ],
)
def test_a_player_is_told_what_it_gets_and_for_how_long(gateway: Gateway, path: str, media: str, caching: str) -> None:
    """Playlists change all the time, all else never does."""
    answer = gateway.viewer("gate").ask(path)

    assert answer.status_code == 200
    assert answer.data == gateway.store.get(path[1:]).body
    assert answer.headers["Content-Type"] == media
    assert answer.headers["Cache-Control"] == caching
    assert answer.headers["Content-Length"] == str(len(answer.data))


@pytest.mark.parametrize(
    ("asked", "status", "first", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=8-", 206, 8, len(BODY)),
        ("bytes=-5", 206, len(BODY) - 5, len(BODY)),
        ("bytes=10-999999999", 206, 10, len(BODY)),
        (f"bytes=-{10**18}", 206, 0, len(BODY)),
        ("bytes=0-", 200, 0, len(BODY)),
        ("bytes=0-1,4-5", 200, 0, len(BODY)),
        ("lines=1-2", 200, 0, len(BODY)),
        ("bytes=5-2", 200, 0, len(BODY)),
        ("nonsense", 200, 0, len(BODY)),
        ("bytes=" + "9" * 5000 + "-", 200, 0, len(BODY)),
    ],
)
def test_a_range_is_cut_out(gateway: Gateway, asked: str, status: int, first: int, stop: int) -> None:
    """What is no single range of bytes is answered whole, as RFC 9110 has it."""
    answer = gateway.viewer().ask(PATH, headers={"Range": asked})

    assert answer.data == BODY[first:stop]
    if (first, stop) != (0, len(BODY)):
        assert answer.status_code == status
        assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(BODY)}"


@pytest.mark.parametrize("asked", [f"bytes={len(BODY)}-", f"bytes={10**18}-"])
def test_a_range_beyond_the_end_is_416(gateway: Gateway, asked: str) -> None:
    """With the size, so that a player can ask again."""
    answer = gateway.viewer().ask(PATH, headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"


def test_a_long_chunk_is_read_in_windows(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A viewer costs a window of memory, not a chunk."""
    monkeypatch.setattr(mirror, "_WINDOW", 1000)
    read: list[int] = []
    get = MemoryStore.get

    def noted(store: MemoryStore, key: str, *, first: int = 0, last: int | None = None, **more: int) -> object:
        found = get(store, key, first=first, last=last, **more)
        read.append(len(found.body))
        return found

    monkeypatch.setattr(MemoryStore, "get", noted)
    viewer = gateway.viewer()

    answer = viewer.ask(PATH, headers={"Range": "bytes=100-9000"})

    assert answer.data == BODY[100:9001]
    assert max(read[1:]) == 1000


def test_what_a_player_has_is_not_sent_again(gateway: Gateway) -> None:
    """304 by ETag, for playlists and chunks."""
    viewer = gateway.viewer()
    for path in ("/hls/gate/live-4.m3u8", PATH):
        etag = viewer.ask(path).headers["ETag"]

        again = viewer.ask(path, headers={"If-None-Match": etag})

        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == etag
    changed = viewer.ask(PATH, headers={"If-None-Match": '"other"'})
    assert changed.data == BODY


def test_a_range_of_what_it_had_is_all_of_what_is_there(gateway: Gateway) -> None:
    """If-Range with an old ETag: pieces of two objects must not be put together."""
    viewer = gateway.viewer()
    etag = viewer.ask(PATH).headers["ETag"]

    same = viewer.ask(PATH, headers={"Range": "bytes=0-3", "If-Range": etag})
    others = [viewer.ask(PATH, headers={"Range": "bytes=0-3", "If-Range": other}) for other in ('"old"', *DATES)]

    assert (same.status_code, same.data) == (206, BODY[:4])
    assert [(other.status_code, other.data) for other in others] == [(200, BODY)] * len(others)


@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("path", ["/hls/gate/live-4.m3u8", PATH])
def test_a_condition_on_a_date_holds_for_nothing(gateway: Gateway, path: str, date: str) -> None:
    """Whether it is a date or none: no answer says when it changed."""
    answer = gateway.viewer().ask(path, headers={"If-Modified-Since": date, "If-Unmodified-Since": date})

    assert answer.status_code == 200


def test_a_head_says_the_size_and_reads_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it keep a place."""
    viewer = gateway.viewer()
    viewer.ask("/api/cameras")
    monkeypatch.delattr(MemoryStore, "get")

    answers = [viewer.ask(PATH, "HEAD") for _ in range(GatewaySettings().downloads + 1)]

    assert {(answer.status_code, answer.headers["Content-Length"], answer.data) for answer in answers} == {
        (200, str(len(BODY)), b"")
    }


@pytest.mark.parametrize(
    "path",
    [
        "/hls/gate/notes.txt",
        "/hls/gate/live-0.m3u8",
        "/hls/gate/live-4.m3u8.bak",
        "/hls/gate/../../cameras/gate.json",
        "/hls/gate/..%2f..%2fcameras%2fgate.json",
        "/hls/gate/index.m3u8%00",
        "/chunks/gate/../../tokens/x/y",
        "/chunks/gate/2026-11-21/13/" + PATH.rpartition("/")[2],
        "/chunks/gate/2026-11-21/12/9999999999999-02000-000001-0000000001-o-0a1b2c3d.mp4",
        "/chunks/gate/2026-11-21/12/x.mp4",
        "/init/gate/0a1b2c3d.mp4.json",
        "/init/gate/%0a.mp4",
        "/tokens/gate/x",
        "/results/gate/x",
        "/cameras/gate.json",
        "/state/package/gate.json",
    ],
)
def test_nothing_beside_is_served(gateway: Gateway, path: str) -> None:
    """Only names that Sluice gives reach the store."""
    answer = gateway.viewer().ask(path)

    assert answer.status_code == 404
    assert b"private" not in answer.data


def test_a_deleted_chunk_is_not_there_although_it_was_known(gateway: Gateway) -> None:
    """Retention may take it between two viewers."""
    viewer = gateway.viewer()
    viewer.ask(PATH)
    gateway.store.delete([CHUNK.key])

    gone = viewer.ask(PATH)

    assert gone.status_code == 404
    assert viewer.ask(PATH).status_code == 404


def test_what_a_chunk_is_like_is_asked_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """All viewers of a camera ask for the same few."""
    first, second = gateway.viewer(), gateway.viewer()
    first.ask(PATH)
    monkeypatch.delattr(MemoryStore, "list")

    assert second.ask(PATH).data == BODY


def test_more_downloads_than_places_are_told_to_come_again() -> None:
    """And playlists, the API and health go on."""
    gateway = Gateway(settings=GatewaySettings(downloads=2))
    gateway.store.put(CHUNK.key, BODY)
    gateway.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    viewer = gateway.viewer()
    held = [viewer.ask(PATH, buffered=False) for _ in range(2)]

    refused = viewer.ask(PATH)
    others = [viewer.ask(path).status_code for path in ("/hls/gate/index.m3u8", "/api/cameras", "/health/readiness")]
    for each in held:
        each.close()

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert others == [200, 200, 204]
    assert viewer.ask(PATH).status_code == 200


def test_a_failed_download_leaves_its_place() -> None:
    """Else a store that was away for a minute would end all downloads."""
    gateway = Gateway(settings=GatewaySettings(downloads=1))
    gateway.store.put(CHUNK.key, BODY)
    viewer = gateway.viewer()
    viewer.ask(PATH)
    gateway.store.delete([CHUNK.key])

    viewer.ask(PATH)
    gateway.store.put(CHUNK.key, BODY)

    assert viewer.ask(PATH).status_code == 200


def test_a_store_that_is_away_is_later_and_not_gone(gateway: Gateway) -> None:
    """A player tries again after 503, and gives up after 404."""
    viewer = gateway.viewer()
    viewer.ask("/api/cameras")
    gateway.store.down = True

    answer = viewer.ask("/hls/gate/live-4.m3u8")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json == {"error": "store does not answer, try again"}


def test_with_the_setting_chunks_are_read_from_the_store() -> None:
    """By a presigned URL that ends soon, and is cached for less than it is good; playlists stay here."""
    gateway = Gateway(public=MemoryStore(), settings=GatewaySettings(redirect_url="https://s3.example", redirect_s=60))
    gateway.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    viewer = gateway.viewer("gate")

    answer = viewer.ask(PATH)

    assert answer.status_code == 307
    assert answer.headers["Location"] == f"memory://bucket/{CHUNK.key}?expires=60"
    assert answer.headers["Cache-Control"] == "private, max-age=30"
    assert viewer.ask("/hls/gate/index.m3u8").status_code == 200
    assert viewer.ask(PATH.replace("gate", "yard")).status_code == 404
