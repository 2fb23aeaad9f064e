"""Where tests keep what their servers write: in memory, where there is room for it.

A store and a bus wait for the disk at every write, and a shared machine's disk stands still for seconds now and then
(1.5 s for one fsync with nothing else running): what is timed then is the disk. Servers that are killed lose nothing in
memory either; what a loss of power takes is for them to test.
"""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108  # the one place on Linux that is memory for whoever writes there
ENOUGH_BYTES = 3 << 30
"""The files are half a gibibyte at most; the rest is for what runs beside them."""


def in_memory(folder: Path = MEMORY, *, enough_bytes: int = ENOUGH_BYTES) -> Path | None:
    """The folder, if as much may be written and programs may be run there."""
    if not os.access(folder, os.W_OK):
        return None
    found = os.statvfs(folder)
    free = min(found.f_bavail * found.f_frsize, available_bytes())
    return folder if free >= enough_bytes and not found.f_flag & os.ST_NOEXEC else None


def available_bytes(said: Path = Path("/proc/meminfo")) -> int:
    """What the kernel could give to programs now; nothing, where it does not say."""
    lines = said.read_text().splitlines() if said.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else 0
