"""What is acknowledged as spooled is on disk, whole and in order, whenever the process dies."""

import errno
import fcntl
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import pytest

from segmenter.cut import Cut
from segmenter.disk import Disk, DiskFullError
from segmenter.spool import Dropped, Limits, Spool
from sluice.errors import InvalidNameError, UnavailableError
from tests.crashes import CrashingDisk, Killed

ROOT = Path(__file__).parents[2]
CAMERA = "gate"
INIT = b"ftypmoov"
START_MS = 1_790_000_000_000


def a_cut(number: int, *, run: str = "run", size: int = 1000, duration_ms: int = 3000) -> Cut:
    return Cut(
        body=INIT + f"moof {number} mdat\n".encode().ljust(size, b"."),
        init_bytes=len(INIT),
        run=run,
        start_ms=START_MS + number * 3000,
        duration_ms=duration_ms,
        activity="idle",
        metadata={"camera": CAMERA, "codec": "avc1.64001f"},
    )


def drained(spool: Spool) -> list[Cut]:
    cuts = []
    while found := spool.oldest():
        cuts.append(found.cut)
        spool.remove(found)
    return cuts


class FullDisk(Disk):
    """Takes *files* files at a time."""

    def __init__(self, files: int) -> None:
        self.files = files

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """See Disk.write."""
        if len([*path.parent.glob("*.cut")]) >= self.files:
            path.write_bytes(b"half")
            raise DiskFullError("spool", os.strerror(errno.ENOSPC))
        super().write(path, pieces)


def test_chunks_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Bytes, facts and order; also more than nine."""
    spool = Spool(tmp_path)
    cuts = [a_cut(number) for number in range(12)]

    assert all(spool.add(each) for each in cuts)

    assert len(spool) == 12
    assert drained(spool) == cuts
    assert (len(spool), spool.size_bytes, spool.oldest()) == (0, 0, None)


def test_its_size_is_that_of_its_files(tmp_path: Path) -> None:
    """Whatever becomes of them, and for the next process as well."""
    spool = Spool(tmp_path)

    def agrees() -> bool:
        return spool.size_bytes == sum(each.stat().st_size for each in tmp_path.glob("*.cut"))

    for number in range(6):
        spool.add(a_cut(number, size=1000 + number))
    assert agrees()
    assert spool.size_bytes > 6000
    for forget in (spool.remove, spool.refuse):
        found = spool.oldest()
        assert found
        forget(found)
        assert agrees()
    next(tmp_path.glob("*.cut")).write_bytes(b"torn")
    while spool.oldest() and len(spool) > 2:
        spool.forget_unnamed("fenced")
    assert agrees()
    spool.add(a_cut(9))
    spool.close()
    spool = Spool(tmp_path)
    assert agrees()
    assert spool.size_bytes > 1000


def test_a_folder_that_is_removed_is_owned_by_nobody(tmp_path: Path) -> None:
    """Who opened its lock before it was removed must not believe that it has the folder that came after."""
    folder = tmp_path / "gate"
    former = Spool(folder)
    former.close(for_good=True)
    assert not folder.exists()
    latter = Spool(folder)

    with pytest.raises(UnavailableError):
        Spool(folder)
    latter.add(a_cut(0))
    latter.close(for_good=True)

    assert [each.name for each in folder.glob("*.cut")]
    again = Spool(folder)
    assert drained(again) == [a_cut(0)]
    again.close(for_good=True)
    assert not folder.exists()


def test_a_lock_on_a_folder_that_is_just_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it the owner takes both away, and another makes them anew."""
    folder = tmp_path / "gate"
    lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr("segmenter.disk.fcntl.flock", lock)
        (folder / "owner").unlink()
        (folder / "owner").touch()
        lock(descriptor, operation)

    monkeypatch.setattr("segmenter.disk.fcntl.flock", late)

    with pytest.raises(UnavailableError):
        Spool(folder)


def test_another_process_finds_them_in_order(tmp_path: Path) -> None:
    """And adds behind them."""
    first = Spool(tmp_path)
    for number in range(3):
        first.add(a_cut(number))
    gone = first.oldest()
    assert gone
    first.remove(gone)
    first.close()

    second = Spool(tmp_path)
    second.add(a_cut(3))

    assert drained(second) == [a_cut(1), a_cut(2), a_cut(3)]


def test_a_name_outlives_the_process(tmp_path: Path) -> None:
    """The next process finds the chunk under the name that the first gave it."""
    first = Spool(tmp_path)
    first.add(a_cut(0))
    spooled = first.oldest()
    assert spooled
    name = spooled.cut.name(CAMERA, session=7, seq=42, opening=True)

    named = first.give_name(spooled, name)
    first.close()
    found = Spool(tmp_path).oldest()

    assert found == named
    assert found
    assert (found.name, found.cut) == (name, a_cut(0))


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """Two uploaders of one spool would give its chunks two names."""
    first = Spool(tmp_path)

    with pytest.raises(UnavailableError, match="another process owns"):
        Spool(tmp_path)

    first.close()
    Spool(tmp_path).close()


def test_each_step_is_synced_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes before the name, the name before the acknowledgement."""
    synced: list[tuple[bool, list[str]]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, sorted(path.suffix for path in tmp_path.glob("*.*"))))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    spool = Spool(tmp_path)

    spool.add(a_cut(0))

    assert synced == [(False, [".part"]), (True, [".cut"])]
    found = spool.oldest()
    assert found
    spool.give_name(found, found.cut.name(CAMERA, session=1, seq=1))
    assert synced[2:] == [(True, [".cut"])]


def test_a_name_that_was_found_is_made_durable_before_it_is_used(tmp_path: Path) -> None:
    """Killed between rename and sync, then a power cut: the name must not be gone after the chunk was put."""
    first = Spool(tmp_path)
    first.add(a_cut(0))
    spooled = first.oldest()
    assert spooled
    first.give_name(spooled, spooled.cut.name(CAMERA, session=1, seq=1))
    first.close()
    steps = count()
    disk = CrashingDisk(lambda: next(steps) == 0)

    with pytest.raises(Killed):
        Spool(tmp_path, disk=disk).oldest()


@pytest.mark.parametrize("power", [True, False], ids=["power-cut", "killed"])
@pytest.mark.parametrize("step", range(40))
def test_a_death_at_any_step_loses_at_most_the_chunk_being_written(tmp_path: Path, step: int, power: bool) -> None:
    """What was acknowledged is there, whole and in order; what was removed may come again, under its name."""
    acknowledged: list[int] = []
    steps = count()
    disk = CrashingDisk(lambda: next(steps) == step)
    sent: list[int] = []
    spool = Spool(tmp_path, disk=disk)
    try:
        for number in range(4):
            spool.add(a_cut(number))
            acknowledged.append(number)
        for seq in range(2):
            spooled = spool.oldest()
            assert spooled
            named = spool.give_name(spooled, spooled.cut.name(CAMERA, session=1, seq=seq))
            assert named
            sent.append(seq)
            spool.remove(named)
    except Killed:
        pass
    spool.close()
    if power:
        disk.lose_power()

    again = Spool(tmp_path)
    named_again = list(tmp_path.glob("*+chunks*"))
    found = [(each.start_ms - START_MS) // 3000 for each in drained(again)]

    assert found == sorted(set(found))
    assert {*acknowledged} - {*sent} <= {*found}
    assert {*found} <= {*acknowledged, len(acknowledged)}
    assert len(named_again) >= len({*found} & {*sent})
    assert not [*tmp_path.glob("*.part")]


@pytest.mark.parametrize("keep", [0, 5, 200, -1], ids=["empty", "in-the-head", "in-the-body", "all-but-one"])
def test_a_file_that_is_not_whole_is_not_sent(tmp_path: Path, keep: int) -> None:
    """It is removed and counted, and those behind it go on."""
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, dropped=dropped.append)
    spool.add(a_cut(0))
    spool.add(a_cut(1))
    torn = min(tmp_path.glob("*.cut"))
    torn.write_bytes(torn.read_bytes()[:keep])

    assert drained(spool) == [a_cut(1)]
    assert [each.reason for each in dropped] == ["torn"]
    assert not torn.exists()


def test_a_file_that_the_disk_has_lost_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad sector is never mended, and others wait behind it."""
    spool = Spool(tmp_path)
    spool.add(a_cut(0))
    spool.add(a_cut(1))
    bad, read = min(tmp_path.glob("*.cut")), Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == bad:
            raise OSError(errno.EIO, "input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)

    assert drained(spool) == [a_cut(1)]


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """With its name; the owner tries again later."""
    (tmp_path / "file").touch()

    with pytest.raises(UnavailableError, match="open gate"):
        Spool(tmp_path / "file" / CAMERA)


def test_a_killed_process_loses_at_most_the_chunk_being_written(tmp_path: Path) -> None:
    """A real one, in the middle of its work."""
    work = (
        "import itertools, pathlib, sys\n"
        "from segmenter.spool import Spool\n"
        "from tests.unit.test_spool import a_cut\n"
        "spool = Spool(pathlib.Path(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    spool.add(a_cut(number, size=200_000))\n"
        "    print(number, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", work, tmp_path], stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    acknowledged = [int(process.stdout.readline()) for _ in range(20)]
    process.kill()
    acknowledged += [int(line) for line in process.stdout.read().split()]
    process.wait(10)
    process.stdout.close()

    spool = Spool(tmp_path)
    found = drained(spool)

    assert len(found) - len(acknowledged) in (0, 1)
    assert found == [a_cut(number, size=200_000) for number in range(len(found))]


def test_a_file_that_somebody_removed_is_passed_over(tmp_path: Path) -> None:
    """And what is not ours is left alone."""
    spool = Spool(tmp_path)
    spool.add(a_cut(0))
    spool.add(a_cut(1))
    min(tmp_path.glob("*.cut")).unlink()
    (tmp_path / "notes.cut").write_text("mine")
    spool.close()

    assert drained(Spool(tmp_path)) == [a_cut(1)]
    assert (tmp_path / "notes.cut").exists()


def test_a_full_spool_drops_its_oldest(tmp_path: Path) -> None:
    """Each is told; the newest are kept, in order."""
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, limits=Limits(max_bytes=4000), dropped=dropped.append)

    assert [spool.add(a_cut(number)) for number in range(6)] == [True] * 6

    assert spool.size_bytes <= 4000
    assert [each.reason for each in dropped] == ["full"] * 3
    assert drained(spool) == [a_cut(3), a_cut(4), a_cut(5)]


def test_a_chunk_larger_than_the_spool_is_refused(tmp_path: Path) -> None:
    """What is there cannot make room for it, but goes."""
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, limits=Limits(max_bytes=4000), dropped=dropped.append)

    assert not spool.add(a_cut(0, size=5000))

    assert [each.reason for each in dropped] == ["full"]
    assert spool.oldest() is None


def test_a_chunk_with_a_name_is_never_dropped(tmp_path: Path) -> None:
    """The store may have it already: its number must not be given again."""
    now = [0.0]
    spool = Spool(tmp_path, limits=Limits(max_bytes=4000, max_age_s=60), clock=lambda: now[0])
    spool.add(a_cut(0))
    spooled = spool.oldest()
    assert spooled
    named = spool.give_name(spooled, spooled.cut.name(CAMERA, session=1, seq=1))

    for number in range(1, 6):
        spool.add(a_cut(number))
    now[0] = 1000.0

    assert spool.oldest() == named
    assert len(spool) == 1


def test_a_name_for_what_was_dropped_is_not_given(tmp_path: Path) -> None:
    """The uploader held it while the spool filled up."""
    spool = Spool(tmp_path, limits=Limits(max_bytes=1500))
    spool.add(a_cut(0))
    spooled = spool.oldest()
    assert spooled
    spool.add(a_cut(1))

    assert spool.give_name(spooled, spooled.cut.name(CAMERA, session=1, seq=1)) is None
    spool.remove(spooled)
    assert drained(spool) == [a_cut(1)]


def test_what_is_too_old_is_dropped(tmp_path: Path) -> None:
    """By the monotonic clock: the machine's steps."""
    now = [0.0]
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, limits=Limits(max_age_s=60), dropped=dropped.append, clock=lambda: now[0])
    spool.add(a_cut(0))
    now[0] = 50.0
    spool.add(a_cut(1))
    now[0] = 61.0

    assert drained(spool) == [a_cut(1)]
    assert [each.reason for each in dropped] == ["old"]


def test_a_full_disk_costs_the_oldest(tmp_path: Path) -> None:
    """Others fill the disk, too: then the spool is smaller than it may be."""
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, dropped=dropped.append, disk=FullDisk(2))

    assert [spool.add(a_cut(number)) for number in range(4)] == [True] * 4

    assert [each.reason for each in dropped] == ["disk-full"] * 2
    assert drained(spool) == [a_cut(2), a_cut(3)]
    assert not [*tmp_path.glob("*.part")]


def test_a_disk_without_any_room_drops_the_new_one(tmp_path: Path) -> None:
    """The camera goes on."""
    dropped: list[Dropped] = []
    spool = Spool(tmp_path, dropped=dropped.append, disk=FullDisk(0))

    assert not spool.add(a_cut(0))
    assert [each.reason for each in dropped] == ["disk-full"]


def test_a_disk_that_fails_is_unavailable(tmp_path: Path) -> None:
    """With the reason; nothing of the chunk is left that could be sent after it was given up."""
    spool = Spool(tmp_path, disk=_SyncFails())

    with pytest.raises(UnavailableError, match="sync"):
        spool.add(a_cut(0))

    assert spool.oldest() is None
    assert not [*tmp_path.glob("*.cut")]


@pytest.mark.parametrize(
    ("cut", "error"),
    [
        pytest.param(a_cut(0, duration_ms=100_000), InvalidNameError, id="too-long-for-a-name"),
        pytest.param(a_cut(-1_000_000_000), InvalidNameError, id="before-1970"),
    ],
)
def test_what_could_never_be_put_is_not_taken(tmp_path: Path, cut: Cut, error: type[Exception]) -> None:
    """It would stand before all others for ever."""
    spool = Spool(tmp_path)

    with pytest.raises(error):
        spool.add(cut)

    assert len(spool) == 0


def test_files_are_nobody_elses_business(tmp_path: Path) -> None:
    """They show what the camera saw."""
    spool = Spool(tmp_path / "spool" / CAMERA)
    spool.add(a_cut(random.randrange(10)))

    folder = tmp_path / "spool" / CAMERA

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


class _SyncFails(Disk):
    def sync(self, folder: Path) -> None:  # noqa: ARG002 (Disk's)
        """See Disk.sync."""
        raise UnavailableError("spool", "sync: input/output error")
