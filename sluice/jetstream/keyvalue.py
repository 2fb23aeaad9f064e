"""A key-value bucket, and watching it through every loss of connection, server or bucket."""

import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from nats.js import api
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE
from nats.js.kv import KeyValue as RawKeyValue

from sluice.bus import Message
from sluice.errors import ConflictError, InvalidNameError, UnavailableError
from sluice.jetstream.connection import Connection, Link, Work
from sluice.jetstream.messages import NatsSubscription
from sluice.keyvalue import KEY, KeyValueEntry

T = TypeVar("T")

WATCH_BATCH: Final = 256
RETRY_S: Final = 1.0
_MARKER: Final = "Nats-Marker-Reason"  # what the server itself writes when it takes a value out
_LOG: Final = logging.getLogger(__name__)


class NatsKeyValue:
    """A bucket by its name; nothing is asked of the server before the first use."""

    def __init__(self, connection: Connection, *, name: str) -> None:
        self._connection = connection
        self._name = name
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    def get(self, key: str) -> KeyValueEntry | None:
        """The newest value; None when there is none, or none any more."""

        async def work(link: Link) -> KeyValueEntry | None:
            try:
                found = await self._raw(link).get(key)
            except KeyNotFoundError:
                return None
            return KeyValueEntry(key=key, value=found.value or b"", revision=found.revision)

        return self._call(key, work)

    def put(self, key: str, value: bytes) -> int:
        """Write whatever was there; returns the revision."""

        async def work(link: Link) -> int:
            return int(await self._raw(link).put(key, value))

        return self._call(key, work)

    def create(self, key: str, value: bytes) -> int:
        """Write only if the key is absent; raises ConflictError."""

        async def work(link: Link) -> int:
            try:
                return int(await self._raw(link).create(key, value))
            except KeyWrongLastSequenceError as error:
                raise ConflictError(f"{self._name}/{key}", "no such key") from error

        return self._call(key, work)

    def update(self, key: str, value: bytes, *, revision: int) -> int:
        """Write only if the key is still at *revision*; raises ConflictError."""

        async def work(link: Link) -> int:
            try:
                return int(await self._raw(link).update(key, value, last=revision))
            except KeyWrongLastSequenceError as error:
                raise ConflictError(f"{self._name}/{key}", f"revision {revision}") from error

        return self._call(key, work)

    def delete(self, key: str) -> None:
        """Take the key out; watchers are told."""

        async def work(link: Link) -> None:
            await self._raw(link).delete(key)

        self._call(key, work)

    def watch(self, *, idle_s: float) -> Iterator[KeyValueEntry | None]:
        """Every entry as it is now, then each change; None whenever *idle_s* pass without one.

        While NATS or the bucket is away it is idle. Afterwards every entry is read again, and what changed is told.
        """
        seen: dict[str, KeyValueEntry] = {}
        changes: NatsSubscription | None = None
        away = False
        while True:
            deadline = time.monotonic() + idle_s
            found: list[Message] = []
            while not found and time.monotonic() < deadline:
                try:
                    changes = changes or self._changes()
                    found = changes.fetch(WATCH_BATCH, wait_s=deadline - time.monotonic())
                    away = False
                except UnavailableError as error:
                    if not away:
                        _LOG.warning("bucket %s is not watched for now: %s", self._name, error)
                    changes, away = None, True
                    time.sleep(max(0, min(RETRY_S, deadline - time.monotonic())))
            yield from self._news(found, seen) or [None]

    def _changes(self) -> NatsSubscription:
        """A consumer of our own that begins with the newest entry of each key, and dies when nobody fetches."""
        name = f"watch-{uuid.uuid4().hex}"
        config = api.ConsumerConfig(
            name=name,
            deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=f"{self._prefix}>",
            inactive_threshold=300,
            mem_storage=True,
        )

        async def work(link: Link) -> None:
            await link.js.add_consumer(self._stream, config=config)

        self._connection.call(work, about=self._stream)
        return NatsSubscription(self._connection, stream=self._stream, consumer=name)

    def _news(self, found: list[Message], seen: dict[str, KeyValueEntry]) -> list[KeyValueEntry | None]:
        """What was not told before; the mark of a deletion only to whom the key was told."""
        news: list[KeyValueEntry | None] = []
        for message in found:
            gone = message.headers.get(KV_OP) in (KV_DEL, KV_PURGE) or _MARKER in message.headers
            entry = KeyValueEntry(
                key=message.subject.removeprefix(self._prefix),
                value=None if gone else message.payload,
                revision=message.stream_seq,
            )
            known = seen.get(entry.key)
            if entry != known and not (gone and known is None):
                seen[entry.key] = entry
                news.append(entry)
        return news

    def _raw(self, link: Link) -> Any:
        # Direct reads, because they tell a missing bucket (nobody answers) from a missing key.
        return RawKeyValue(name=self._name, stream=self._stream, pre=self._prefix, js=link.js, direct=True)

    def _call(self, key: str, work: Work[T]) -> T:
        if not KEY.fullmatch(key):
            raise InvalidNameError("key", key, "[-/_=a-zA-Z0-9] and single dots between them")
        return self._connection.call(work, about=self._name)
