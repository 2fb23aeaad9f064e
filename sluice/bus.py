"""The messenger: the port, and NatsBus for NATS JetStream."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from sluice.keyvalue import KeyValue
from sluice.settings import BusSettings
from sluice.topology import Bucket, Consumer, Stream

if TYPE_CHECKING:
    from sluice.jetstream.connection import Connection

_FIRST_CALL: Final = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The server's acknowledgement."""

    stream: str
    seq: int
    duplicate: bool
    """True: a message with this id was there already, and this one was dropped."""


class Message(Protocol):
    """A message of a consumer; whoever fetched it ends it by exactly one of ack, nak, term.

    Of a consumer without acks it is ended already, and none of them is called.
    """

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def payload(self) -> bytes:
        """Its body."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; names are case-sensitive."""
        ...

    @property
    def stream(self) -> str:
        """The stream that holds it."""
        ...

    @property
    def stream_seq(self) -> int:
        """Its number in the stream."""
        ...

    @property
    def stored_at(self) -> datetime:
        """When the stream took it."""
        ...

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

    def newest_id(self, subject: str, *, stream: str) -> str | None:
        """The message id under which the newest message with this subject was published; None when there is none."""
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

    def forget(self, consumer: Consumer) -> None:
        """Delete it at the server; that it is not there is no error."""
        ...

    def close(self) -> None:
        """Flush and disconnect."""
        ...


class NatsBus:
    """NATS JetStream. May be used from many threads; they share one connection."""

    def __init__(self, settings: BusSettings, *, name: str = "sluice") -> None:
        self._settings = settings
        self._name = name
        self._opened: Connection | None = None

    def publish(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Published:
        """Publish and wait for the stream's acknowledgement; raises UnusableInputError for what is too large."""
        connection = self._connection()
        from sluice.jetstream import messages

        return messages.publish(connection, subject, payload, message_id=message_id, headers=headers or {})

    def newest_id(self, subject: str, *, stream: str) -> str | None:
        """The message id of the newest message with this subject; nothing is consumed."""
        connection = self._connection()
        from sluice.jetstream import messages

        return messages.newest_id(connection, subject, stream=stream)

    def subscribe(self, consumer: Consumer) -> Subscription:
        """Bind to a durable consumer; whether it exists shows at the first fetch, and at every other one."""
        connection = self._connection()
        from sluice.jetstream.messages import NatsSubscription

        return NatsSubscription(connection, stream=consumer.stream, consumer=consumer.name)

    def bucket(self, name: str) -> KeyValue:
        """Bind to a key-value bucket; whether it exists shows at the first use, and at every other one."""
        connection = self._connection()
        from sluice.jetstream.keyvalue import NatsKeyValue

        return NatsKeyValue(connection, name=name)

    def differences(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """What would have to change at the server; raises SettingsError if it is too old."""
        connection = self._connection()
        from sluice.jetstream import definitions

        return definitions.differences(connection, streams, consumers, buckets)

    def ensure(
        self, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
    ) -> tuple[str, ...]:
        """Make and mend; raises SettingsError for what cannot be changed in place, and if the server is too old."""
        connection = self._connection()
        from sluice.jetstream import definitions

        return definitions.ensure(connection, streams, consumers, buckets)

    def forget(self, consumer: Consumer) -> None:
        """Delete it at the server, and with it the memory of how far it was."""
        connection = self._connection()
        from sluice.jetstream import definitions

        definitions.forget(connection, consumer)

    def close(self) -> None:
        """Disconnect; a later call connects anew."""
        if self._opened:
            self._opened.close()

    def _connection(self) -> "Connection":
        """Made at the first call: importing nats-py takes 0.1 s, and its modules import the port from here.

        One thread at a time, in the whole process: nats-py's modules import each other in circles, and two threads
        that begin at different ones leave both with half of them, for good (seen in 1 of 120 starts).
        """
        with _FIRST_CALL:
            from sluice.jetstream import definitions, keyvalue, messages  # noqa: F401 (all at once, see above)
            from sluice.jetstream.connection import Connection

            if self._opened is None:
                self._opened = Connection(self._settings, name=self._name)
            return self._opened
