"""Sessions and seqs of a running segmenter: among what readers accept no seq twice and none falls, whatever dies."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from sluice.names import ChunkName, state_key
from tests.chunks import StoredChunk, accepted, check_chunk, check_order, checked_sessions, names_of
from tests.services.clock import MachineClock
from tests.services.line import eventually
from tests.services.recording import PATTERN, assert_gapless, offline_reasons
from tests.services.relay import relay
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

GATE = pulled("gate", PATTERN, target_s=1)
OPEN_MS = 1500
"""A chunk of a second, and what waits to be read."""
HOUR_S = 3600


@dataclass(kw_only=True)
class Life:
    """What became of one camera."""

    process: SegmenterProcess
    seen: dict[int, ChunkName] = field(default_factory=dict)
    """Every chunk that there ever was, by seq."""
    started_ms: float = 0
    killed_ms: float = 0
    drained: int = 0
    """Chunks that lay in the spool when it was killed."""

    def look(self) -> list[ChunkName]:
        """Remember what there is."""
        names = names_of(self.process.store, "gate")
        for name in names:
            assert self.seen.setdefault(name.seq, name) == name, f"seq {name.seq} twice"
        return names

    def forget_all_but_the_newest(self) -> None:
        """As retention does when everything is too old; and the numbering's own object is lost."""
        names = self.look()
        self.process.store.delete([each.key for each in names[:-1]])


@pytest.fixture(scope="module")
def life(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """The store is down at the start; chunks are deleted; it is killed while chunks are spooled, and started again."""
    folder = tmp_path_factory.mktemp("life")
    with (
        segmenter_servers(minio_binary, folder) as prepared,
        relay(prepared.minio.url) as (wire, url),
    ):
        process = SegmenterProcess(prepared, folder, {"SLUICE_S3_URL": url})
        life = Life(process=process)
        process.save(GATE)
        wire.cut()
        life.started_ms = time.time() * 1000
        process.start()
        try:
            wait_for_spooled(process, 4)
            wire.mend()
            wait_for_live(process)
            life.forget_all_but_the_newest()
            wait_for_live(process)
            wire.cut()
            wait_for_spooled(process, 4)
            life.killed_ms = time.time() * 1000
            process.kill()
            life.drained = plant_half_written(process.spool / "gate")
            life.forget_all_but_the_newest()
            process.store.delete([state_key("segmenter", "gate")])
            wire.mend()
            process.start()
            wait_for_live(process)
            life.look()
            yield life
        finally:
            process.stop()


def wait_for_spooled(process: SegmenterProcess, chunks: int) -> None:
    """Wait until as many lie on disk."""
    process.until(f"{chunks} chunks are spooled", lambda said: said["gate"].get("spooled", 0) >= chunks)


def wait_for_live(process: SegmenterProcess, *, chunks: int = 3) -> None:
    """Wait until the spool is empty, and some more chunks are stored."""
    process.until("the spool is empty", lambda said: said["gate"].get("stored", 0) and not said["gate"]["spooled"])
    process.wait_for_chunks({"gate": process.chunks("gate") + chunks})


def plant_half_written(spool: Path) -> int:
    """What a power cut may leave behind the last chunk; returns how many whole ones there are."""
    whole = sorted(spool.glob("*.cut"))
    order = int(whole[-1].name[:12])
    shutil.copyfile(whole[-1], torn := spool / f"{order + 1:012d}.cut")
    torn.write_bytes(torn.read_bytes()[:-100])
    shutil.copyfile(torn, spool / f"{order + 2:012d}.part")
    return len(whole)


def test_no_seq_is_given_twice_and_none_falls(life: Life) -> None:
    """Order of seq is order of session and of time, over deletions, a kill and the loss of the numbering."""
    names = [name for _, name in sorted(life.seen.items())]

    check_order(names)
    assert [name.session for name in names[:1]] == [1]


def test_a_store_that_is_down_at_the_start_costs_nothing(life: Life) -> None:
    """The first chunks are as complete as any others."""
    first = [name for _, name in sorted(life.seen.items()) if name.session == 1]

    assert first[0].start_ms - life.started_ms < 4000
    assert_gapless(first)


def test_a_kill_loses_at_most_the_open_chunk(life: Life) -> None:
    """What was spooled is a session of its own, right after what was uploaded."""
    live = [name for name in life.seen.values() if name.session == 1]
    spooled = [name for name in life.seen.values() if name.session == 2]

    assert life.drained - 1 <= len(spooled) <= life.drained  # one may have had its name already
    assert_gapless([*live[-1:], *spooled])
    assert life.killed_ms - spooled[-1].end_ms < OPEN_MS


def test_what_was_half_written_is_not_sent(life: Life) -> None:
    """It is counted, and leaves nothing behind."""
    store, said = life.process.store, life.process.cameras()["gate"]

    for name in names_of(store, "gate"):
        found = store.get(name.key)
        check_chunk(StoredChunk(name=name, body=found.body, metadata=found.metadata))

    assert said["dropped_chunks"] == {"torn": 1}
    assert not list((life.process.spool / "gate").glob("*.part"))


def test_two_segmenters_of_one_camera_agree_who_records_it(minio_binary: Path, tmp_path: Path) -> None:
    """The newer one wins; the other says so, waits, and takes over when the winner is gone."""
    settings = {"SLUICE_WATCH_S": 2, "SLUICE_TAKEOVER_S": 5}
    (tmp_path / "other").mkdir()
    with (
        segmenter_servers(minio_binary, tmp_path) as prepared,
        segmenter_process(prepared, tmp_path, settings) as loser,
    ):
        loser.save(GATE)
        loser.wait_for_chunks({"gate": 4})
        with segmenter_process(prepared, tmp_path / "other", settings) as winner:
            loser.until("it is fenced", lambda said: said["gate"]["state"] == "fenced")
            packets = loser.cameras()["gate"]["packets"]
            winner.until("it records for longer than a take-over takes", lambda said: said["gate"]["stored"] >= 9)
            said = loser.cameras()["gate"]
            assert (said["state"], said["reason"], said["packets"]) == ("fenced", "fenced", packets)
            assert winner.cameras()["gate"]["state"] == "online"
            winner.kill()
        gone_ms = time.time() * 1000
        loser.until("it records again", lambda said: said["gate"]["state"] == "online")
        loser.wait_for_chunks({"gate": loser.chunks("gate") + 3})

        assert "fenced" in offline_reasons(prepared, "gate")
        names = accepted(names_of(loser.store, "gate"))
        sessions = checked_sessions(loser.store, "gate", writers=2)
        assert [each.number for each in sessions] == [1, 2, 3]
        assert_gapless((name for name in names if name.session < 3), within_ms=2000)
        assert_gapless(name for name in names if name.session == 3)
        assert len([name for name in names if name.session == 2]) >= 7  # its first ones may overlap
        assert names[-1].start_ms - gone_ms < 20_000
        assert all(after.seq > before.seq for before, after in pairwise(names))


def test_when_the_machines_clock_is_set_names_go_on(minio_binary: Path, tmp_path: Path) -> None:
    """Running, it keeps to the time that it began with and says so; after a start no name falls behind the newest."""
    clock = MachineClock(tmp_path / "clock")
    with (
        segmenter_servers(minio_binary, tmp_path) as prepared,
        segmenter_process(prepared, tmp_path, clock.environment) as process,
    ):
        process.save(GATE)
        process.wait_for_chunks({"gate": 3})
        for ahead_s in (HOUR_S, -HOUR_S):
            steps = clock_steps(process)
            clock.set(ahead_s)
            eventually("it has noticed", partial(has_stepped, process, steps))
            process.wait_for_chunks({"gate": process.chunks("gate") + 2})
        running = names_of(process.store, "gate")
        health = process.get("/health/readiness")
        for ahead_s in (-HOUR_S, HOUR_S):
            clock.set(ahead_s)
            process.restart()
            process.wait_for_chunks({"gate": process.chunks("gate") + 3})

        assert b"clock-stepped" in health
        assert "clock-stepped" in process.log.read_text("utf-8")
        assert {name.session for name in running} == {1}
        assert_gapless(running)
        names = names_of(process.store, "gate")
        check_order(names)
        assert [each.number for each in checked_sessions(process.store, "gate")] == [1, 2, 3]
        assert names[-1].start_ms - names[0].start_ms > HOUR_S * 900, "the last start believed the clock"


def has_stepped(process: SegmenterProcess, before: float) -> bool:
    """Whether it has noticed once more."""
    return clock_steps(process) > before


def clock_steps(process: SegmenterProcess) -> float:
    """How often it has noticed that the clock was set."""
    return process.metrics()["sluice_segmenter_clock_steps_total"]
