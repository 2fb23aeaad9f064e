"""Chunks on their way to the bucket, on disk: bounded, in order, whole or not there at all.

A file is written under a temporary name, then renamed. The name that a chunk is given becomes part of its file's name:
one rename, so it is there or not, never half.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from segmenter.cut import Cut, parsed, rendered
from segmenter.disk import Disk, DiskFullError, disowned, owned, translated
from sluice.errors import InvalidNameError, UnavailableError, UnusableInputError
from sluice.names import ChunkName, parse_chunk_key

_PART: Final = ".part"
_ITEM: Final = ".cut"
_SLASH: Final = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a camera's spool holds at most, whatever happens to the store."""

    max_bytes: int = 256 << 20
    max_age_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A chunk that will not arrive."""

    reason: str
    """full, old, disk-full, disk-error, torn, refused or fenced."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """The oldest chunk, and its name once it has one."""

    order: int
    cut: Cut
    name: ChunkName | None = None


@dataclass(slots=True, kw_only=True)
class _Entry:
    order: int
    path: Path
    size_bytes: int
    added_s: float
    name: ChunkName | None = None


class Spool:
    """The spool of one camera; one thread may add while another takes, one process at a time.

    *dropped* is told of each loss while the spool is locked: it counts, and leaves the rest to others.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits | None = None,
        dropped: Callable[[Dropped], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        disk: Disk | None = None,
    ) -> None:
        self._folder, self._limits, self._dropped, self._clock = folder, limits or Limits(), dropped, clock
        self._disk = disk or Disk()
        self._lock = threading.RLock()
        self._entries: deque[_Entry] = deque()
        self._size_bytes = 0
        self._settled = False  # a name that a dead process gave may not be durable yet
        with translated("open", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._owner = owned(folder)
        try:
            with translated("open", folder):
                self._open()
        except BaseException:
            self.close()  # else nobody in this process can try again
            raise
        self._next = self._entries[-1].order + 1 if self._entries else 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """On disk; asked without waiting for the disk."""
        return self._size_bytes

    def add(self, cut: Cut) -> bool:
        """Keep *cut*, on disk when this returns; False when it had to be dropped. Older ones give way to it."""
        pieces = rendered(cut)
        size = sum(map(len, pieces))
        with self._lock:
            self._expire()
            while self.size_bytes + size > self._limits.max_bytes and self._drop_oldest("full"):
                pass
            if self.size_bytes + size > self._limits.max_bytes:
                return self._refuse(Dropped(reason="full", size_bytes=size))
            while True:
                try:
                    self._write(pieces, size)
                except DiskFullError:
                    if not self._drop_oldest("disk-full"):
                        return self._refuse(Dropped(reason="disk-full", size_bytes=size))
                else:
                    return True

    def oldest(self) -> Spooled | None:
        """What is to be sent next; files that are not whole are removed on the way."""
        with self._lock:
            self._expire()
            while self._entries:
                entry = self._entries[0]
                if entry.name and not self._settled:
                    self._sync()
                try:
                    cut = parsed(self._disk.read(entry.path), entry.path.name)
                except (UnusableInputError, FileNotFoundError):
                    self._drop(entry, "torn")
                else:
                    return Spooled(order=entry.order, cut=cut, name=entry.name)
            return None

    def give_name(self, spooled: Spooled, name: ChunkName) -> Spooled | None:
        """Write the name down, durably, before it is used; None when the chunk was dropped meanwhile."""
        with self._lock:
            entry = self._entry(spooled)
            if entry is None:
                return None
            path = self._path(entry.order, name)
            self._settled = False
            self._disk.rename(entry.path, path)
            entry.path, entry.name = path, name
            self._sync()
            return Spooled(order=spooled.order, cut=spooled.cut, name=name)

    def remove(self, spooled: Spooled) -> None:
        """Forget what the store has."""
        with self._lock:
            entry = self._entry(spooled)
            if entry is not None:
                self._disk.remove(entry.path)
                self._forget(entry)

    def refuse(self, spooled: Spooled) -> None:
        """Drop what the store will never take."""
        with self._lock:
            entry = self._entry(spooled)
            if entry is not None:
                self._drop(entry, "refused")

    def forget_unnamed(self, reason: str) -> None:
        """Drop all that has no name yet."""
        with self._lock:
            while self._drop_oldest(reason):
                pass

    def close(self, *, for_good: bool = False) -> None:
        """Let another process have the folder; *for_good* removes it, if it is empty."""
        if for_good and not self._entries:
            disowned(self._folder)
        os.close(self._owner)

    def _open(self) -> None:
        for path in self._folder.glob(f"*{_PART}"):
            self._disk.remove(path)
        now_s = self._clock()
        for path in sorted(self._folder.glob(f"*{_ITEM}")):
            digits, _, key = path.name.removesuffix(_ITEM).partition(_SLASH)
            try:
                order, name = int(digits), parse_chunk_key(key.replace(_SLASH, "/")) if key else None
            except (ValueError, InvalidNameError):
                continue  # not ours
            # Its age begins anew: between two processes only the machine's clock could tell, and that steps.
            size = path.stat().st_size
            self._hold(_Entry(order=order, path=path, size_bytes=size, added_s=now_s, name=name))

    def _write(self, pieces: list[bytes], size: int) -> None:
        path = self._path(self._next, None)
        part = path.with_suffix(_PART)
        try:
            self._disk.write(part, pieces)
            self._disk.rename(part, path)
            self._sync()
        except UnavailableError:
            self._disk.remove(part)  # what is not acknowledged may come again
            self._disk.remove(path)
            raise
        self._hold(_Entry(order=self._next, path=path, size_bytes=size, added_s=self._clock()))
        self._next += 1

    def _sync(self) -> None:
        self._disk.sync(self._folder)
        self._settled = True

    def _expire(self) -> None:
        limit = self._clock() - self._limits.max_age_s
        for entry in [each for each in self._entries if each.added_s < limit and not each.name]:
            self._drop(entry, "old")

    def _drop_oldest(self, reason: str) -> bool:
        """Not one with a name: the store may have it already, and its number must not be given again."""
        entry = next((each for each in self._entries if not each.name), None)
        if entry is not None:
            self._drop(entry, reason)
        return entry is not None

    def _drop(self, entry: _Entry, reason: str) -> None:
        self._disk.remove(entry.path)
        self._forget(entry)
        self._dropped(Dropped(reason=reason, size_bytes=entry.size_bytes))

    def _hold(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._size_bytes += entry.size_bytes

    def _forget(self, entry: _Entry) -> None:
        self._entries.remove(entry)
        self._size_bytes -= entry.size_bytes

    def _refuse(self, dropped: Dropped) -> bool:
        self._dropped(dropped)
        return False

    def _entry(self, spooled: Spooled) -> _Entry | None:
        return next((each for each in self._entries if each.order == spooled.order), None)

    def _path(self, order: int, name: ChunkName | None) -> Path:
        key = _SLASH + name.key.replace("/", _SLASH) if name else ""
        return self._folder / f"{order:012d}{key}{_ITEM}"
