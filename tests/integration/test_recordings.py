"""Recordings in a real store: the rights suffice, and a month of them makes nothing slow."""

import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from functions.gateway.app import gateway_app
from functions.gateway.settings import GatewaySettings, Services
from functions.index.handler import index
from functions.index.rounds import index_camera
from sluice import tokens
from sluice.cli.main import main
from sluice.contracts.index import HourIndex, IndexedChunk, LabelCount
from sluice.names import ChunkName
from sluice.recordings.chunks import Recorded, chunks_between
from sluice.recordings.hours import HOUR_MS, key_of
from sluice.recordings.summary import minutes_of, spans_of
from sluice.settings import ServingSettings
from sluice.testing.bus import MemoryBus
from sluice.tokens import TokenBook
from tests.builders import NOON_MS, a_chunk_name
from tests.recorded import record
from tests.services.prepared import PreparedServers, both_lanes, servers
from tests.viewers import Viewer

pytestmark = [pytest.mark.s3, pytest.mark.nats]

CAMERA = "gate"
CHUNK_MS = 3000
PER_HOUR = HOUR_MS // CHUNK_MS
HOURS = 30 * 24
GOAL_MS = 300
RANGE = f"from={NOON_MS - 23 * HOUR_MS}&to={NOON_MS + HOUR_MS}"


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    with servers(minio_binary, tmp_path_factory.mktemp("recordings"), lanes=both_lanes) as both:
        both.prepare()
        yield both


def a_viewer(prepared: PreparedServers) -> Viewer:
    """Of a gateway with the rights of one."""
    store = prepared.store("gateway")
    services = Services(store=store, bus=MemoryBus(), settings=GatewaySettings(), tokens=TokenBook(store))
    secret, _ = tokens.create(prepared.store("admin"), role=tokens.VIEWER, cameras=None, lifetime=None)
    return Viewer(client=gateway_app(services, ServingSettings(concurrency=80)).test_client(), secret=secret)


def hour_of_chunks(hour_ms: int, first_seq: int) -> list[ChunkName]:
    return [
        a_chunk_name(
            CAMERA,
            start_ms=hour_ms + each * CHUNK_MS,
            duration_ms=CHUNK_MS,
            seq=first_seq + each,
            activity="idle" if each % 3 else "active",
        )
        for each in range(PER_HOUR)
    ]


def an_index(hour_ms: int, first_seq: int) -> bytes:
    """Of an hour in which every third chunk shows something."""
    names = hour_of_chunks(hour_ms, first_seq)
    chunks = [Recorded(name=name, size_bytes=1_000_000) for name in names]
    seen = {name.stem: {"person": LabelCount(frames=9, most=2)} for name in names[::3]}
    labels = {stem: {"objects": each} for stem, each in seen.items()}
    return msgspec.json.encode(
        HourIndex(
            camera=CAMERA,
            closed=True,
            listed=PER_HOUR,
            newest_ms=hour_ms + HOUR_MS,
            size_bytes=PER_HOUR * 1_000_000,
            sessions=(1,),
            labels={"person": LabelCount(frames=9 * PER_HOUR // 3, most=2)},
            spans=spans_of((name.start_ms, name.end_ms) for name in names),
            minutes=minutes_of(chunks, seen),
            chunks=tuple(
                IndexedChunk(stem=name.stem, size_bytes=1_000_000, labels=labels.get(name.stem, {"objects": {}}))
                for name in names
            ),
        )
    )


@pytest.fixture(scope="module")
def month(prepared: PreparedServers) -> PreparedServers:
    """Thirty days as indexes, and the hour that goes on as 1,200 keys."""
    store = prepared.store("admin")
    day = [an_index(NOON_MS - each * HOUR_MS, (HOURS - each) * PER_HOUR) for each in range(1, 25)]
    older = [day[-1]] * (HOURS - len(day))  # as large as theirs would be, and never asked for
    with ThreadPoolExecutor(8) as pool:
        indexes = enumerate([*day, *older], 1)
        list(pool.map(lambda each: store.put(key_of(CAMERA, NOON_MS - each[0] * HOUR_MS), each[1]), indexes))
        list(pool.map(lambda name: store.put(name.key, b"x"), hour_of_chunks(NOON_MS, HOURS * PER_HOUR)))
    return prepared


@pytest.mark.alone
def test_a_day_of_a_months_recordings_is_shown_at_once(month: PreparedServers) -> None:
    """The timeline of 24 hours in less than 300 ms, whatever else was recorded."""
    viewer = a_viewer(month)
    first = viewer.ask(f"/api/cameras/{CAMERA}/timeline?{RANGE}")
    took_ms = list[float]()
    for _ in range(12):
        began = time.perf_counter()
        viewer.ask(f"/api/cameras/{CAMERA}/timeline?{RANGE}")
        took_ms.append((time.perf_counter() - began) * 1000)

    assert first.json
    quickest = f"{min(took_ms):.0f} ms (median {statistics.median(took_ms):.0f} ms)"
    print(f"timeline of 24 h out of 30 days: {quickest}")
    assert first.json["recorded"] == [{"from": "2026-11-20T13:00:00.000Z", "to": "2026-11-21T13:00:00.000Z"}]
    assert len(first.json["buckets"]) == 288
    assert sum(each["labels"]["person"]["frames"] for each in first.json["buckets"][:-12]) == 23 * 1200 // 3 * 9
    assert min(took_ms) < GOAL_MS


def test_a_day_is_a_playlist_within_seconds(month: PreparedServers) -> None:
    """28,800 chunks, each of which it names."""
    found = chunks_between(month.store("gateway"), CAMERA, NOON_MS - 23 * HOUR_MS, NOON_MS + HOUR_MS)
    began = time.perf_counter()

    seqs = [each.name.seq for each in found]

    print(f"chunks of 24 h: {time.perf_counter() - began:.2f} s")
    assert len(seqs) == 24 * PER_HOUR
    assert all(after == before + 1 for before, after in itertools.pairwise(seqs))
    assert time.perf_counter() - began < 10


def test_an_hour_is_indexed_with_the_rights_of_the_indexer(prepared: PreparedServers) -> None:
    """And a late chunk reopens it; what was recorded is played and cut with the rights of the gateway."""
    admin, mine = prepared.store("admin"), prepared.store("index")
    names = record(admin, "yard", start_ms=NOON_MS - 3 * HOUR_MS, chunks=4)
    late = admin.get(names[2].key).body
    admin.delete([names[2].key])
    admin.put(names[0].result_key("detect", "objects"), b'{"data": {"frames": [{"objects": [{"label": "person"}]}]}}')

    def rounds() -> int:
        return index_camera("yard", store=mine, now_ms=NOON_MS, deadline=time.monotonic() + 60).written

    first, again = rounds(), rounds()
    admin.put(names[2].key, late)
    reopened = rounds()

    viewer, query = a_viewer(prepared), f"from={NOON_MS - 3 * HOUR_MS}&to={NOON_MS - 2 * HOUR_MS}"
    shown = viewer.ask(f"/api/cameras/yard/timeline?{query}").json
    assert (first, again, reopened) == (1, 0, 1)
    assert shown
    assert shown["buckets"][0]["labels"] == {"person": {"frames": 1, "most": 1}}
    assert viewer.ask(f"/vod/yard/index.m3u8?{query}").get_data(as_text=True).count("#EXTINF") == 4
    assert viewer.ask(f"/clip/yard.mp4?{query}").data.count(b"moof") == 4
    assert viewer.ask(f"/snapshot/yard.jpg?at={NOON_MS - 3 * HOUR_MS}").status_code == 200


def test_a_run_looks_at_every_camera(prepared: PreparedServers) -> None:
    """Several at once, by the clock of this machine."""
    record(prepared.store("admin"), "lane", start_ms=NOON_MS - 48 * HOUR_MS, chunks=1)

    index(store=prepared.store("index"))

    assert list(prepared.store("gateway").list("index/lane/"))


def test_the_command_writes_a_file(prepared: PreparedServers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As whoever the environment names, where no runtime runs; a hole is told, and leaves nothing behind."""
    record(prepared.store("admin"), "hall", start_ms=NOON_MS, chunks=3)
    for name, value in {
        **prepared.secrets.part("admin"),
        "SLUICE_S3_URL": prepared.minio.url,
        "SLUICE_S3_REGION": prepared.minio.region,
        "SLUICE_NATS_URL": prepared.nats.url,
    }.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "hall.mp4"
    command = ["clip", "hall", "--state", str(tmp_path / "state"), "-o", str(file)]

    cut = main([*command, "--from", "2026-11-21T12:00:00Z", "--to", "2026-11-21T13:00:04+01:00"])
    body = file.read_bytes()
    refused = main([*command, "--from", "2026-11-21T10:00", "--to", "2026-11-21T11:00"])

    assert (cut, refused) == (0, 1)
    assert body.count(b"moof") == 2
    assert [each.name for each in tmp_path.iterdir()] == ["hall.mp4"]
