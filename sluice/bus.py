"""The messenger: the port, and NatsBus for NATS JetStream."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.topology import Bucket, Consumer, Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The server's acknowledgement."""

    stream: str
    seq: int
    duplicate: bool
    """True: a message with this id was there already, and this one was dropped."""


class Message(Protocol):
    """A message of a consumer; whoever fetched it ends it by exactly one of ack, nak, term."""

    @property
    def subject(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def stream(self) -> str: ...
    @property
    def stream_seq(self) -> int: ...
    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        ...

    def ack(self) -> None:
        """Done; confirmed by the server, so that a lost acknowledgement is noticed."""
        ...

    def nak(self, *, delay_s: float = 0) -> None:
        """Not done; deliver again after *delay_s*."""
        ...

    def term(self) -> None:
        """Never deliver again."""
        ...

    def in_progress(self) -> None:
        """Still at work: start the acknowledgement's wait anew."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueEntry:
    """A value of a bucket; None when its key was deleted."""

    key: str
    value: bytes | None
    revision: int


class KeyValue(Protocol):
    """A bucket of NATS' key-value store."""

    def get(self, key: str) -> KeyValueEntry | None: ...
    def put(self, key: str, value: bytes) -> int:
        """Write whatever was there; returns the revision."""
        ...

    def create(self, key: str, value: bytes) -> int:
        """Write only if the key is absent; raises ConflictError."""
        ...

    def update(self, key: str, value: bytes, *, revision: int) -> int:
        """Write only if the key is still at *revision*; raises ConflictError."""
        ...

    def delete(self, key: str) -> None: ...
    def watch(self, *, idle_s: float) -> Iterator[KeyValueEntry | None]:
        """Every entry as it is now, then each change; None whenever *idle_s* pass without one."""
        ...


class Subscription(Protocol):
    """A durable pull consumer, bound."""

    def fetch(self, batch: int, *, wait_s: float) -> list[Message]:
        """Up to *batch* messages: what is there at once, else the first that comes within *wait_s*, else none."""
        ...


class Bus(Protocol):
    """What every part may do with NATS.

    Every method raises UnavailableError when the server does not answer in time, or when stream, consumer or
    bucket is missing. The connection is made at the first call and renewed for ever.
    """

    def publish(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Published:
        """Publish and wait for the stream's acknowledgement."""
        ...

    def subscribe(self, consumer: Consumer) -> Subscription:
        """Bind to a durable consumer that exists."""
        ...

    def bucket(self, name: str) -> KeyValue:
        """Bind to a key-value bucket that exists."""
        ...

    def differences(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """What would have to change at the server, a sentence each."""
        ...

    def ensure(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """Make and mend what is missing or differs; returns what was changed, a sentence each."""
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...
