"""The rules of JetStream's streams, consumers and buckets in memory; MemoryBus holds the lock around them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sluice.bus import Published
from sluice.errors import ConflictError
from sluice.keyvalue import KeyValueEntry
from sluice.topology import Bucket, Consumer, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message as it lies in a stream."""

    subject: str
    payload: bytes
    message_id: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class MemoryStream:
    """Messages by number, and the ids seen lately."""

    definition: Stream
    messages: dict[int, Sent] = field(default_factory=dict)
    ids: dict[str, tuple[int, float]] = field(default_factory=dict)
    times: dict[int, datetime] = field(default_factory=dict)
    last: int = 0

    def add(self, sent: Sent) -> Published:
        """Take the message, unless its id came within the stream's duplicate window."""
        now = time.monotonic()
        known = self.ids.get(sent.message_id)
        if known and now - known[1] < self.definition.dedupe_s:
            return Published(stream=self.definition.name, seq=known[0], duplicate=True)
        self.last += 1
        self.messages[self.last] = sent
        self.times[self.last] = datetime.now(UTC)
        self.ids[sent.message_id] = (self.last, now)
        return Published(stream=self.definition.name, seq=self.last, duplicate=False)

    def newest_id(self, subject: str) -> str | None:
        """The id of the newest message with this subject."""
        with_it = (seq for seq, sent in self.messages.items() if sent.subject == subject)
        newest = max(with_it, default=0)
        return self.messages[newest].message_id if newest else None


@dataclass(slots=True)
class MemoryConsumer:
    """How far it is, what it holds back until when, and how often it delivered what."""

    definition: Consumer
    next: int = 1
    due: dict[int, float] = field(default_factory=dict)
    deliveries: dict[int, int] = field(default_factory=dict)

    def take(self, stream: MemoryStream, batch: int) -> list[int]:
        """Numbers of up to *batch* messages whose time has come: again, or for the first time."""
        now = time.monotonic()
        self.due = {seq: when for seq, when in self.due.items() if seq in stream.messages}
        again = [seq for seq, when in sorted(self.due.items()) if when <= now]
        room = self.definition.max_ack_pending - len(self.due)
        taken = again[:batch] + list(self._fresh(stream, min(room, batch - len(again[:batch]))))
        for seq in taken:
            if self.definition.acks:
                self.due[seq] = now + self.definition.ack_wait_s
            self.deliveries[seq] = self.deliveries.get(seq, 0) + 1
        return taken

    def wakes_in(self, at_most: float) -> float:
        """Seconds until something held back is due."""
        return max(0.0, min([at_most, *(when - time.monotonic() for when in self.due.values())]))

    def hold(self, seq: int, delay_s: float) -> None:
        """Deliver again after *delay_s*, unless it was ended meanwhile."""
        if seq in self.due:
            self.due[seq] = time.monotonic() + delay_s

    def end(self, stream: MemoryStream, seq: int) -> None:
        """Never deliver again; in a work queue it is gone."""
        self.due.pop(seq, None)
        if stream.definition.work_queue:
            stream.messages.pop(seq, None)

    def _fresh(self, stream: MemoryStream, at_most: int) -> Iterator[int]:
        wanted, since = self.definition.filters, self.definition.since
        while at_most > 0 and self.next <= stream.last:
            seq, self.next = self.next, self.next + 1
            sent = stream.messages.get(seq)
            early = since is not None and stream.times[seq] < since
            if sent and not early and (not wanted or any(matches(sent.subject, each) for each in wanted)):
                at_most -= 1
                yield seq


@dataclass(slots=True)
class MemoryEntries:
    """A bucket's newest entries; one number counts the writes of all keys."""

    definition: Bucket
    entries: dict[str, KeyValueEntry] = field(default_factory=dict)
    revision: int = 0

    def write(self, key: str, value: bytes | None, *, revision: int | None = None) -> int:
        """Write if the key is at *revision* (0: absent, None: whatever it is at)."""
        now = self.entries.get(key)
        found = now.revision if now and (now.value is not None or revision) else 0
        if revision is not None and found != revision:
            expected = f"revision {revision}" if revision else "no such key"
            raise ConflictError(f"{self.definition.name}/{key}", expected)
        self.revision += 1
        self.entries[key] = KeyValueEntry(key=key, value=value, revision=self.revision)
        return self.revision


def matches(subject: str, pattern: str) -> bool:
    """NATS' wildcards: * stands for one token, > for one or more at the end."""
    tokens, wanted = subject.split("."), pattern.split(".")
    if wanted[-1] == ">":
        return len(tokens) >= len(wanted) and matches(".".join(tokens[: len(wanted) - 1]), ".".join(wanted[:-1]))
    return len(tokens) == len(wanted) and all(w in ("*", t) for t, w in zip(tokens, wanted, strict=True))
