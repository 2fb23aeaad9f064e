"""NATS' key-value store: the port of one bucket."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")
"""What a bucket takes as a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueEntry:
    """A value of a bucket; None when its key was deleted."""

    key: str
    value: bytes | None
    revision: int


class KeyValue(Protocol):
    """A bucket of NATS' key-value store."""

    def get(self, key: str) -> KeyValueEntry | None:
        """The newest value; None when there is none, or none any more."""
        ...

    def put(self, key: str, value: bytes) -> int:
        """Write whatever was there; returns the revision."""
        ...

    def create(self, key: str, value: bytes) -> int:
        """Write only if the key is absent; raises ConflictError."""
        ...

    def update(self, key: str, value: bytes, *, revision: int) -> int:
        """Write only if the key is still at *revision*; raises ConflictError."""
        ...

    def delete(self, key: str) -> None:
        """Take the key out; watchers are told."""
        ...

    def watch(self, *, idle_s: float) -> Iterator[KeyValueEntry | None]:
        """Every entry as it is now, then each change; None whenever *idle_s* pass without one."""
        ...
