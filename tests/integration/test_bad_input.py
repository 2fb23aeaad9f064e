"""What no camera should ever send, put into the real bucket or posted at the real doors of a running line."""

import http.client
import json
import time
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest

from sluice.names import ChunkName
from tests.builders import a_chunk, a_chunk_name
from tests.services.line import Line, eventually

pytestmark = pytest.mark.line

_count = count(1)
INIT, CHUNK = a_chunk()


def named(camera: str) -> ChunkName:
    """An opening chunk that nobody has put yet."""
    n = next(_count)
    now_ms = int(time.time() * 1000) + n
    return a_chunk_name(camera=camera, start_ms=now_ms, session=n, seq=n, activity="opening", init=INIT)


def rejections(line: Line, camera: str) -> list[dict[str, Any]]:
    """The data of every input.rejected event of a camera."""
    return [json.loads(payload) for payload in line.messages("rejected", camera)]


@pytest.mark.parametrize(
    ("camera", "body"),
    [
        pytest.param("empty", b"", id="empty object"),
        pytest.param("poem", b"Es war, als haett' der Himmel\n" * 40, id="text file"),
        pytest.param("torn-head", CHUNK[:300], id="truncated in the init segment"),
        pytest.param("zeroes", bytes(5000), id="zeroes"),
        pytest.param("huge-box", b"\xff\xff\xff\xf0ftypiso5" + bytes(64), id="a box that claims 4 GB"),
    ],
)
def test_a_chunk_that_is_no_video_is_rejected_once(line: Line, camera: str, body: bytes) -> None:
    """Its result object says so, one event says so, and nothing is tried again."""
    name = named(camera)

    line.store().put(name.key, body, content_type="video/mp4")

    key = name.result_key("inspect")
    eventually("a result object", lambda: line.results(camera) == [key])
    eventually("quiet", line.is_quiet)
    result = json.loads(line.store().get(key).body)
    (rejection,) = rejections(line, camera)
    assert result["type"] == "dev.sluice.input.rejected.v1"
    assert rejection["part"] == "inspect"
    assert rejection["expected"]
    assert rejection["found"]


def test_a_chunk_truncated_in_its_media_is_answered(line: Line) -> None:
    """Inspected as far as it goes, or rejected; not tried for ever."""
    name = named("torn")

    line.store().put(name.key, CHUNK[: len(CHUNK) * 2 // 3], content_type="video/mp4")

    result = eventually("a result", lambda: [*line.store().list("results/inspect/torn/")])
    eventually("quiet", line.is_quiet)
    said = json.loads(line.store().get(result[0].key).body)
    assert "truncated" in json.dumps(said)


@pytest.mark.parametrize(
    ("key", "camera"),
    [
        pytest.param("chunks/Lying Camera/2026-11-21/05/x.mp4", "_", id="no camera id"),
        pytest.param("chunks/liar/2026-11-21/05/x.mp4", "liar", id="no stem"),
        pytest.param(
            "chunks/wrongday/2020-01-01/00/1795237200000-03000-000001-0000000001-o-0123abcd.mp4",
            "wrongday",
            id="wrong day",
        ),
        pytest.param("chunks/mp4.mp4", "_", id="no folders"),
    ],
)
def test_a_lying_key_is_rejected_and_blocks_nothing(line: Line, key: str, camera: str) -> None:
    """The bridge says so once, though the store announced it twice, and the chunk after it goes its way."""
    before = len(rejections(line, camera))
    good = named("after-a-liar")

    line.store().put(key, CHUNK, content_type="video/mp4")
    line.store().put(good.key, CHUNK, content_type="video/mp4")

    eventually("the good one", lambda: good.result_key("inspect") in line.results(good.camera))
    eventually("quiet", line.is_quiet)
    mine = [each for each in rejections(line, camera)[before:] if key.rsplit("/", maxsplit=1)[-1] in json.dumps(each)]
    assert mine
    assert {each["part"] for each in mine} == {"bridge"}


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status that comes back; 0 when the connection is closed without one."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=20)
    try:
        connection.request("POST", where.path or "/", body, headers)
        return connection.getresponse().status
    except (ConnectionError, http.client.RemoteDisconnected):
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("door", ["broker", "inspect"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"", {}, id="nothing at all"),
        pytest.param(b"", {"ce-id": "1", "ce-type": "t"}, id="half an event"),
        pytest.param(b"{", {"content-type": "application/cloudevents+json"}, id="broken JSON"),
        pytest.param(b"{}", {f"ce-{n}": "x" * 50_000 for n in range(100)}, id="5 MB of ce- headers"),
        pytest.param(b"[]", {"content-type": "application/cloudevents-batch+json"}, id="a batch"),
    ],
)
def test_what_is_no_event_is_refused_at_every_door(line: Line, door: str, body: bytes, headers: dict[str, str]) -> None:
    """A 4xx, or a closed connection for a sender that floods; the next event is served."""
    endpoints = line.runtime()["endpoints"]
    url = endpoints["brokers"]["default"] if door == "broker" else endpoints["services"]["inspect"]

    status = post(url, body, headers)

    assert status == 0 or 400 <= status < 500
    good = named("after-a-flood")
    line.store().put(good.key, CHUNK, content_type="video/mp4")
    eventually("the next one", lambda: good.result_key("inspect") in line.results(good.camera))
