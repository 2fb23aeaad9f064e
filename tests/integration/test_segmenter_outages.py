"""Store or NATS away for a while: every camera is recorded on, and nothing but time is lost.

`SLUICE_FAULT_S=60` makes it a minute.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chunks import check_order, checked_sessions, names_of
from tests.services import odd_cameras
from tests.services.line import eventually
from tests.services.prepared import PreparedServers
from tests.services.recording import PATTERN, Told, Witness, assert_gapless, assert_undisturbed, recorded, told
from tests.services.relay import Relay, relay
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

FAULT_S = float(os.environ.get("SLUICE_FAULT_S", "20"))
CHUNK_S = 2
END_S = 10
SPOOL = round(FAULT_S * 12_000)
"""Bytes; enough for the gate."""
FAT = "test://?size=1280x720&fps=25&gop=25&bf=0&audio=1"
"""So many bytes that its spool is full before the outage is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outages:
    """Two segmenters: one without its store, one without NATS, for as long."""

    without_store: SegmenterProcess
    storeless: PreparedServers
    without_nats: SegmenterProcess
    natsless: PreparedServers
    witness: Witness
    """Of the second's store."""
    store: Relay
    began_ms: float
    over_ms: float
    """Both in Unix milliseconds."""


@pytest.fixture(scope="module")
def outages(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """Both are over, and have been caught up with; the camera `dying` was away while NATS was."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("without-store", "without-nats"))
    with (
        segmenter_servers(minio_binary, one) as storeless,
        segmenter_servers(minio_binary, two) as natsless,
        odd_cameras.odd_cameras(live=odd_cameras.live) as url,
        relay(storeless.minio.url) as (store, store_url),
        relay(natsless.nats.url) as (nats, nats_url),
        relay(f"{url}/live") as (camera, camera_url),
        segmenter_process(storeless, one, {"SLUICE_S3_URL": store_url, "SLUICE_SPOOL_MAX_BYTES": SPOOL}) as spooling,
        segmenter_process(natsless, two, {"SLUICE_NATS_URL": nats_url}) as silent,
        Witness(natsless.store("admin")) as witness,
    ):
        spooling.save(pulled("gate", f"{PATTERN}&audio=0", target_s=1), pulled("fat", FAT, target_s=1))
        silent.save(pulled("gate", PATTERN, target_s=CHUNK_S), pulled("dying", camera_url, target_s=1))
        spooling.wait_for_chunks({"gate": 2, "fat": 2})
        silent.wait_for_chunks({"gate": 2, "dying": 2})
        began_ms = time.time() * 1000
        store.stall()
        nats.cut()
        camera.cut()
        wait_for_spooled(spooling, FAULT_S / 2)
        store.cut()
        camera.mend()
        wait_for_spooled(spooling, FAULT_S)
        over_ms = time.time() * 1000
        nats.mend()
        store.mend()
        spooling.until("the spools are empty", lambda said: not any(each["spooled"] for each in said.values()))
        spooling.wait_for_chunks({"gate": spooling.chunks("gate") + 3})
        yield Outages(
            without_store=spooling,
            storeless=storeless,
            without_nats=silent,
            natsless=natsless,
            witness=witness,
            store=store,
            began_ms=began_ms,
            over_ms=over_ms,
        )


def wait_for_spooled(process: SegmenterProcess, chunks: float) -> None:
    """Wait until the gate has as many chunks on disk; they are of a second each."""
    process.until(f"{chunks:g} are spooled", lambda said: said["gate"]["spooled"] >= chunks, within_s=FAULT_S + 15)


def test_an_outage_of_the_store_leaves_no_trace_but_late_chunks(outages: Outages) -> None:
    """One session, seq without a hole, media time and wall time continuous."""
    sessions = checked_sessions(outages.without_store.store, "gate")

    assert len(sessions) == 1
    assert_gapless(each.name for each in sessions[0].chunks)


def test_what_was_spooled_is_uploaded_in_order_and_before_live_chunks(outages: Outages) -> None:
    """Whoever follows the bucket never has to look back."""
    found = recorded(outages.without_store.store, "gate")

    late = [each for each in found if each.stored_ms - each.name.end_ms > 5000]

    assert len(late) >= FAULT_S - 8
    assert all(after.stored_ms >= before.stored_ms for before, after in pairwise(found))


def drops(prepared: PreparedServers) -> list[Told]:
    """What is told of lost chunks; those of ten seconds are one event."""
    return [each for each in told(prepared, "fat") if each.what == "chunks.dropped"]


def test_a_full_spool_gives_up_its_oldest_chunks_and_says_so(outages: Outages) -> None:
    """Newer ones are worth more; whoever watches sees how many are missing, and why."""
    process, prepared = outages.without_store, outages.storeless
    found = recorded(process.store, "fat")
    holes = [(a, b) for a, b in pairwise(found) if b.name.start_ms > a.name.end_ms]
    missing = sum(round((after.name.start_ms - before.name.end_ms) / 1000) for before, after in holes)

    counted = process.metrics()['sluice_camera_dropped_total{camera="fat",reason="full"}']
    eventually("all are told of", lambda: sum(each.data["chunks"] for each in drops(prepared)) >= counted)
    events = drops(prepared)

    assert missing == counted > 0
    assert {each.reason for each in events} == {"full"}
    assert sum(each.data["chunks"] for each in events) == counted
    assert all(each.data["size_bytes"] > 0 for each in events)
    assert len(holes) == 1, "the oldest are given up, not some here and there"
    before, after = holes[0]
    assert before.name.end_ms <= outages.began_ms + 3500
    assert after.stored_ms - after.name.end_ms > 3000, "it is the oldest of several that were kept"


def test_what_follows_dropped_chunks_is_a_session_of_its_own(outages: Outages) -> None:
    """Media time is continuous within a session; seq has no hole."""
    store = outages.without_store.store

    sessions = checked_sessions(store, "fat")

    check_order(names_of(store, "fat"))
    assert len(sessions) == 2


def test_without_nats_chunks_are_stored_as_ever(outages: Outages) -> None:
    """NATS is a messenger, the bucket is memory."""
    store, witness = outages.without_nats.store, outages.witness

    assert_undisturbed(store, "gate", chunk_s=CHUNK_S, until_ms=outages.over_ms, witness=witness)


def test_events_that_nats_missed_arrive_when_it_is_back(outages: Outages) -> None:
    """In order, each once."""
    outages.without_nats.until(
        "all have arrived", lambda _: told(outages.natsless, "dying")[-1].what == "camera.online"
    )

    events = [(each.what, each.reason) for each in told(outages.natsless, "dying")]

    assert events[0][0] == events[-1][0] == "camera.online"
    assert {what for what, _ in events[1:-1]} == {"camera.offline"}
    assert all(before != after for before, after in pairwise(events))


def test_a_store_that_hangs_holds_up_no_end(outages: Outages) -> None:
    """What could not be uploaded stays in the spool, for the next start."""
    process = outages.without_store
    outages.store.stall()
    wait_for_spooled(process, 2)
    began = time.monotonic()

    process.stop()

    assert time.monotonic() - began < END_S
    assert len(list(process.spool.glob("gate/*.cut"))) >= 3, "what was spooled, and the open one"
