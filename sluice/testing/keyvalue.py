"""The key-value port over a MemoryBus."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.errors import InvalidNameError, UnavailableError
from sluice.keyvalue import KEY, KeyValueEntry

if TYPE_CHECKING:
    from sluice.testing.bus import MemoryBus


@dataclass(frozen=True, slots=True)
class MemoryKeyValue:
    """One bucket of a MemoryBus."""

    bus: "MemoryBus"
    name: str

    def get(self, key: str) -> KeyValueEntry | None:
        """See KeyValue.get."""
        with self.bus.still:
            entry = self.bus.entries(self.name).entries.get(key)
        return entry if entry and entry.value is not None else None

    def put(self, key: str, value: bytes) -> int:
        """See KeyValue.put."""
        return self._write(key, value)

    def create(self, key: str, value: bytes) -> int:
        """See KeyValue.create."""
        return self._write(key, value, revision=0)

    def update(self, key: str, value: bytes, *, revision: int) -> int:
        """See KeyValue.update."""
        return self._write(key, value, revision=revision)

    def delete(self, key: str) -> None:
        """See KeyValue.delete."""
        self._write(key, None)

    def watch(self, *, idle_s: float) -> Iterator[KeyValueEntry | None]:
        """See KeyValue.watch."""
        told: dict[str, KeyValueEntry] = {}
        while True:
            deadline = time.monotonic() + idle_s
            while not (news := self._news(told, deadline)) and time.monotonic() < deadline:
                pass
            yield from news or (None,)

    def _news(self, told: dict[str, KeyValueEntry], deadline: float) -> list[KeyValueEntry]:
        """What is not told yet, or nothing after one change elsewhere; a missing bucket is an idle one."""
        with self.bus.still:
            try:
                entries = self.bus.entries(self.name).entries
            except UnavailableError:
                entries = {}
            news = [
                entry
                for key, entry in entries.items()
                if entry != told.get(key) and (entry.value is not None or key in told)
            ]
            told.update({entry.key: entry for entry in news})
            if not news:
                self.bus.still.wait(max(0, deadline - time.monotonic()))
            return sorted(news, key=lambda entry: entry.revision)

    def _write(self, key: str, value: bytes | None, *, revision: int | None = None) -> int:
        if not KEY.fullmatch(key):
            raise InvalidNameError("key", key, "[-/_=a-zA-Z0-9] and single dots between them")
        with self.bus.changing():
            return self.bus.entries(self.name).write(key, value, revision=revision)
