"""What processes use, from /proc: CPU, memory, descriptors, threads."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of some processes together."""

    cpu_s: float
    """User and system, since each began; of children that ended and were waited for, too."""
    pss_kib: int
    """Memory; what processes share counts once."""
    rss_kib: int
    descriptors: int
    threads: int


def family(pid: int) -> list[int]:
    """The process and all that it started and that still runs."""
    found = [pid]
    for child in children(pid):
        found += family(child)
    return found


def usage(pids: Iterable[int]) -> Usage:
    """What they use now; a process that is gone is an error, as its time would be missing."""
    each = [_of(Path("/proc") / str(pid)) for pid in pids]
    return Usage(
        cpu_s=sum(one.cpu_s for one in each),
        pss_kib=sum(one.pss_kib for one in each),
        rss_kib=sum(one.rss_kib for one in each),
        descriptors=sum(one.descriptors for one in each),
        threads=sum(one.threads for one in each),
    )


def _of(process: Path) -> Usage:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        cpu_s=sum(int(each) for each in fields[11:15]) / _TICKS,
        pss_kib=_rolled_up(process, "Pss:"),
        rss_kib=_rolled_up(process, "Rss:"),
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        threads=int(fields[17]),
    )


def _rolled_up(process: Path, name: str) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def children(pid: int) -> list[int]:
    """What it has started and not waited for yet."""
    tasks = _listed(Path(f"/proc/{pid}/task"))
    return [int(each) for task in tasks for each in text_of(task / "children").split()]


def text_of(file: Path) -> str:
    """What a file of /proc says; nothing when its process or thread has ended meanwhile."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return file.read_text()
    return ""


def _listed(folder: Path) -> list[Path]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return list(folder.iterdir())
    return []
