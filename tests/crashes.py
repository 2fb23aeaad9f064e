"""A disk and a store that fail where they are told to: what a kill, a power cut and a bad network leave behind."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from segmenter.disk import Disk
from sluice.errors import SluiceError, UnavailableError
from sluice.store import ListedObject, StoredObject
from sluice.testing.store import MemoryStore

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing may catch this, nothing is tidied up."""


class CrashingDisk(Disk):
    """Asks *dies* before and after each step; what no folder sync has confirmed, a power cut takes back.

    Nothing is really synced: hundreds of schedules would wait for the disk of the machine that runs the tests.
    """

    def __init__(self, dies: Callable[[], bool]) -> None:
        self._dies = dies
        self._unconfirmed: list[Callable[[], object]] = []

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """See Disk.write; may die half way."""
        whole = b"".join(pieces)
        self._unconfirmed.append(lambda: path.unlink(missing_ok=True))
        if self._dies():
            path.write_bytes(whole[: len(whole) // 2])
            raise Killed
        path.write_bytes(whole)
        self._maybe_die()

    def rename(self, path: Path, to: Path) -> None:
        """See Disk.rename."""
        self._maybe_die()
        super().rename(path, to)
        self._unconfirmed.append(lambda: to.exists() and to.rename(path))
        self._maybe_die()

    def sync(self, folder: Path) -> None:  # noqa: ARG002 (Disk's)
        """See Disk.sync."""
        self._maybe_die()
        self._unconfirmed.clear()
        self._maybe_die()

    def remove(self, path: Path) -> None:
        """See Disk.remove."""
        self._maybe_die()
        if path.exists():
            body = path.read_bytes()
            self._unconfirmed.append(lambda: path.write_bytes(body))
        super().remove(path)
        self._maybe_die()

    def lose_power(self) -> None:
        """Take back all that is unconfirmed, the last first."""
        while self._unconfirmed:
            self._unconfirmed.pop()()

    def _maybe_die(self) -> None:
        if self._dies():
            raise Killed


@dataclass(slots=True, kw_only=True)
class UnreliableStore(MemoryStore):
    """Loses requests and answers, carries requests out late, and sees its callers die."""

    chance: random.Random
    faults: float = 0.0
    """Of a call, the likelihood of each fault."""
    deaths: float = 0.0
    late: list[Callable[[], object]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """Happens between the steps of whoever calls."""

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        return self._call(lambda: MemoryStore.get(self, key, first=first, last=last, limit=limit))

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See ObjectStore.put."""
        return self._call(lambda: MemoryStore.put(self, key, body, content_type=content_type, metadata=metadata))

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        return self._call(
            lambda: MemoryStore.create(self, key, body, content_type=content_type, cache_control=cache_control)
        )

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        return self._call(
            lambda: MemoryStore.replace(
                self, key, body, etag=etag, content_type=content_type, cache_control=cache_control
            )
        )

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        yield from self._call(lambda: [*MemoryStore.list(self, prefix, after=after)])

    def deliver_late(self) -> None:
        """Carry out what the network held back, long after the caller gave up."""
        held, self.late = self.late, []
        for request in held:
            try:
                request()
            except SluiceError:
                continue  # nobody hears the answer

    def _call(self, request: Callable[[], T]) -> T:
        self.meanwhile()
        self._maybe_kill()
        drawn = self.chance.random()
        if drawn < 2 * self.faults:
            if drawn < self.faults:
                self.late.append(request)
            raise UnavailableError("store", "the request was lost")
        answer = request()
        self._maybe_kill()
        if drawn > 1 - self.faults:
            raise UnavailableError("store", "the answer was lost")
        return answer

    def _maybe_kill(self) -> None:
        if self.chance.random() < self.deaths:
            raise Killed
