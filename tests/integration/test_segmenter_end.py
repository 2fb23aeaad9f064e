"""How the segmenter ends: in ten seconds whatever hangs, and nothing of it stays behind, however it is killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segmenter.spool import Spool
from tests.chunks import names_of
from tests.services.line import eventually
from tests.services.prepared import PreparedServers
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers
from tests.services.server import RunningServer
from tests.services.usage import children

pytestmark = [pytest.mark.s3, pytest.mark.nats]

PATTERN = "test://?size=320x180&fps=25&gop=25"
END_S = 10.0


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    """One store and one NATS for all; each test has cameras of its own."""
    with segmenter_servers(minio_binary, tmp_path_factory.mktemp("servers")) as both:
        yield both


@contextmanager
def hanging(*servers: RunningServer) -> Iterator[None]:
    """They take connections and answer nothing."""
    for each in servers:
        each.freeze()
    try:
        yield
    finally:
        for each in servers:
            each.thaw()


def ended(process: SegmenterProcess) -> tuple[float, int]:
    """How long it takes from now on, and its status."""
    began_s = time.monotonic()
    running = process._process
    assert running
    status = running.wait(timeout=3 * END_S)
    return time.monotonic() - began_s, status


def all_gone(pids: list[int]) -> bool:
    """Whether none of them runs."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_with_store_and_nats_hanging_it_ends_in_ten_seconds(prepared: PreparedServers, tmp_path: Path) -> None:
    """Told twice; what was open lies in the spool, and the next process uploads it before anything else."""
    with segmenter_process(prepared, tmp_path) as process:
        process.save(pulled("hangs", PATTERN, target_s=1))
        process.wait_for_chunks({"hangs": 2})
        workers = children(process.pid)
        with hanging(prepared.minio, prepared.nats):
            os.kill(process.pid, signal.SIGTERM)
            os.kill(process.pid, signal.SIGTERM)
            took_s, status = ended(process)

        assert (took_s < END_S, status) == (True, 0), f"{took_s:.1f} s"
        assert all_gone(workers)
        kept = len(list(process.spool.glob("hangs/*.cut")))
        before = process.chunks("hangs")
        process.stop()
        process.start()
        process.wait_for_chunks({"hangs": before + kept + 1})
        process.remove("hangs")

    seqs = [name.seq for name in names_of(process.store, "hangs")]
    assert kept >= 1
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_worker_that_is_starting_ends_too(prepared: PreparedServers, tmp_path: Path) -> None:
    """The signal comes before it listens."""
    with segmenter_process(prepared, tmp_path) as process:
        process.save(pulled("starts", PATTERN))
        workers = eventually("a worker is being started", lambda: children(process.pid), within_s=10)

        os.kill(process.pid, signal.SIGTERM)
        took_s, status = ended(process)

        assert (took_s < END_S, status) == (True, 0)
        assert all_gone(workers)
        process.remove("starts")


def test_workers_outlive_their_supervisor_just_long_enough(prepared: PreparedServers, tmp_path: Path) -> None:
    """It was killed: they upload what is open, and let the spools go."""
    with segmenter_process(prepared, tmp_path) as process:
        process.save(pulled("orphan", PATTERN, target_s=1))
        process.wait_for_chunks({"orphan": 2})
        workers = children(process.pid)

        os.kill(process.pid, signal.SIGKILL)

        eventually("the workers have ended", lambda: all_gone(workers), within_s=END_S)
        ended(process)
        assert list(process.spool.glob("orphan/*.cut")) == []
        Spool(process.spool / "orphan").close()
        process.stop()
        process.start()
        process.wait_for_chunks({"orphan": process.chunks("orphan") + 2})
        process.remove("orphan")


def test_what_a_removed_camera_left_is_uploaded_and_its_folder_removed(
    prepared: PreparedServers, tmp_path: Path
) -> None:
    """The store hung while the process ended, and the camera was removed before it was started again."""
    with segmenter_process(prepared, tmp_path, {"SLUICE_DRAIN_S": 1}) as process:
        process.save(pulled("former", PATTERN, target_s=1))
        process.wait_for_chunks({"former": 1})
        with hanging(prepared.minio):
            os.kill(process.pid, signal.SIGTERM)
            ended(process)
        kept = [each.name for each in process.spool.glob("former/*.cut")]
        # MinIO may carry out the last PUT when it goes on: that chunk is stored, and kept under the same name.
        stored = {name.key.rpartition("/")[2] for name in names_of(process.store, "former")}
        unstored = [each for each in kept if each.removesuffix(".cut").rpartition("+")[2] not in stored]
        process.remove("former")
        process.stop()
        process.start()

        process.wait_for_chunks({"former": len(stored) + len(unstored)})
        eventually("its folder is gone", lambda: not (process.spool / "former").exists(), within_s=10)
        eventually("no worker is left", lambda: not children(process.pid), within_s=10)
        assert process.cameras() == {}, "it goes on without any"

    assert kept


def test_a_camera_that_is_removed_and_added_at_once_goes_on(prepared: PreparedServers, tmp_path: Path) -> None:
    """Several times; its numbers go on."""
    with segmenter_process(prepared, tmp_path) as process:
        camera = pulled("fickle", PATTERN, target_s=1)
        process.save(camera)
        process.wait_for_chunks({"fickle": 1})

        for _ in range(5):
            process.remove("fickle")
            process.save(camera)
        process.wait_for_chunks({"fickle": process.chunks("fickle") + 3})
        process.remove("fickle")
        eventually("it has left", lambda: "fickle" not in process.cameras(), within_s=10)

    seqs = [name.seq for name in names_of(process.store, "fickle")]
    assert seqs == list(range(1, len(seqs) + 1))
