"""A Bus in memory that keeps JetStream's rules; one contract test runs against it and a real server."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sluice.bus import Message, Published, Subscription
from sluice.errors import UnavailableError, UnusableInputError
from sluice.keyvalue import KeyValue
from sluice.testing.keyvalue import MemoryKeyValue
from sluice.testing.streams import MemoryConsumer, MemoryEntries, MemoryStream, Sent, matches
from sluice.topology import BUCKETS, CONSUMERS, STREAMS, Bucket, Consumer, Stream

MAX_PAYLOAD: Final = 1 << 20


class MemoryBus:
    """Has the streams, consumers and buckets of the topology from the start, unless *prepared* is false."""

    def __init__(self, *, prepared: bool = True) -> None:
        self.available = True
        """Set it to False and every call raises UnavailableError."""
        self.published: list[Sent] = []
        """What the streams took, in order; a dropped duplicate is not in it."""
        self.still = threading.Condition()
        """Held while anything is read or changed; notified of every change."""
        self._streams: dict[str, MemoryStream] = {}
        self._consumers: dict[str, MemoryConsumer] = {}
        self._buckets: dict[str, MemoryEntries] = {}
        if prepared:
            self.ensure(STREAMS, CONSUMERS, BUCKETS)

    def publish(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Published:
        """Put it into the stream that takes the subject."""
        wire = {**(headers or {}), "Nats-Msg-Id": message_id}
        size = len(payload) + sum(len(f"{key}: {value}\r\n".encode()) for key, value in wire.items())
        if size > MAX_PAYLOAD:
            expected = f"a message of at most {MAX_PAYLOAD} bytes with its headers"
            raise UnusableInputError(expected, f"{size} bytes", subject)
        sent = Sent(subject=subject, payload=payload, message_id=message_id, headers=wire)
        with self.changing():
            for stream in self._streams.values():
                if any(matches(subject, pattern) for pattern in stream.definition.subjects):
                    done = stream.add(sent)
                    self.published += [] if done.duplicate else [sent]
                    return done
        raise UnavailableError("nats", f"{subject}: no response from stream")

    def newest_id(self, subject: str, *, stream: str) -> str | None:
        """The id of the newest message with this subject."""
        with self.still:
            self._check()
            if f"stream {stream}" not in self._streams:
                raise UnavailableError("nats", f"{stream}: missing")
            return self._streams[f"stream {stream}"].newest_id(subject)

    def subscribe(self, consumer: Consumer) -> Subscription:
        """Bind to a consumer by its name."""
        return _MemorySubscription(self, consumer)

    def bucket(self, name: str) -> KeyValue:
        """Bind to a bucket by its name."""
        return MemoryKeyValue(self, name)

    def differences(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """What is missing or defined otherwise."""
        with self.still:
            self._check()
            there: dict[str, Any] = {**self._streams, **self._consumers, **self._buckets}
            definitions: list[Stream | Consumer | Bucket] = [*streams, *consumers, *buckets]
            wanted = {_name(each): each for each in definitions}
            return tuple(
                f"{name}: {'is defined otherwise' if name in there else 'missing'}"
                for name, each in wanted.items()
                if name not in there or there[name].definition != each
            )

    def ensure(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """Make and mend; what is there keeps its messages."""
        changes = self.differences(streams, consumers, buckets)
        with self.changing():
            for stream in streams:
                self._streams.setdefault(_name(stream), MemoryStream(stream)).definition = stream
            for consumer in consumers:
                self._consumers.setdefault(_name(consumer), MemoryConsumer(consumer)).definition = consumer
            for bucket in buckets:
                self._buckets.setdefault(_name(bucket), MemoryEntries(bucket)).definition = bucket
        return changes

    def forget(self, consumer: Consumer) -> None:
        """Take the consumer out."""
        with self.changing():
            self._consumers.pop(_name(consumer), None)

    def close(self) -> None:
        """Nothing to close."""

    def wipe(self) -> None:
        """Lose everything, as a server whose disk was emptied."""
        with self.changing():
            self._streams.clear()
            self._consumers.clear()
            self._buckets.clear()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold everything still, then wake whoever waits for a change."""
        with self.still:
            self._check()
            yield
            self.still.notify_all()

    def _check(self) -> None:
        if not self.available:
            raise UnavailableError("nats", "switched off by the test")

    def consumer(self, wanted: Consumer) -> tuple[MemoryStream, MemoryConsumer]:
        """The state of a consumer and its stream; raises UnavailableError when either is missing."""
        self._check()
        stream, consumer = self._streams.get(f"stream {wanted.stream}"), self._consumers.get(_name(wanted))
        if stream is None or consumer is None:
            raise UnavailableError("nats", f"{_name(wanted)}: missing")
        return stream, consumer

    def entries(self, name: str) -> MemoryEntries:
        """The state of a bucket; raises UnavailableError when it is missing."""
        self._check()
        if f"bucket {name}" not in self._buckets:
            raise UnavailableError("nats", f"bucket {name}: missing")
        return self._buckets[f"bucket {name}"]


def _name(definition: Stream | Consumer | Bucket) -> str:
    if isinstance(definition, Consumer):
        return f"consumer {definition.stream}/{definition.name}"
    return f"{type(definition).__name__.lower()} {definition.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _MemoryMessage:
    subject: str
    payload: bytes
    headers: Mapping[str, str]
    stream: str
    stream_seq: int
    stored_at: datetime
    deliveries: int
    bus: MemoryBus
    consumer: Consumer

    def ack(self) -> None:
        self.term()

    def nak(self, *, delay_s: float = 0) -> None:
        with self.bus.changing():
            self.bus.consumer(self.consumer)[1].hold(self.stream_seq, delay_s)

    def term(self) -> None:
        with self.bus.changing():
            stream, consumer = self.bus.consumer(self.consumer)
            consumer.end(stream, self.stream_seq)

    def in_progress(self) -> None:
        self.nak(delay_s=self.consumer.ack_wait_s)


@dataclass(frozen=True, slots=True)
class _MemorySubscription:
    bus: MemoryBus
    consumer: Consumer

    def fetch(self, batch: int, *, wait_s: float) -> list[Message]:
        deadline = time.monotonic() + wait_s
        while True:
            with self.bus.still:
                stream, consumer = self.bus.consumer(self.consumer)
                taken = consumer.take(stream, batch)
                rest_s = deadline - time.monotonic()
                if taken or rest_s <= 0:
                    return [self._message(stream, consumer, seq) for seq in taken]
                self.bus.still.wait(consumer.wakes_in(rest_s))

    def _message(self, stream: MemoryStream, consumer: MemoryConsumer, seq: int) -> Message:
        sent = stream.messages[seq]
        return _MemoryMessage(
            subject=sent.subject,
            payload=sent.payload,
            headers=sent.headers,
            stream=stream.definition.name,
            stream_seq=seq,
            stored_at=stream.times[seq],
            deliveries=consumer.deliveries[seq],
            bus=self.bus,
            consumer=self.consumer,
        )
