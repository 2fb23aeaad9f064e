"""Publishing to a stream, and fetching from a durable consumer."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from nats.errors import BadSubjectError
from nats.js.errors import NotFoundError

from sluice.bus import Message, Published
from sluice.errors import InvalidNameError, UnavailableError, UnusableInputError
from sluice.jetstream.connection import Connection, Link

PROBE_S: Final = 0.1
NOTHING_THERE: Final = "404"
TIME_IS_UP: Final = "408"
CONFLICT: Final = "409"
NO_RESPONDERS: Final = "503"
NO_MESSAGE: Final = 10037
"""The server's error code beside status 404, which a missing stream has, too."""


def publish(
    connection: Connection, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str]
) -> Published:
    """Publish under *message_id* and wait for the stream's acknowledgement."""
    sent = {**headers, "Nats-Msg-Id": message_id}

    async def work(link: Link) -> Published:
        check_size(subject, payload, sent, limit=link.client.max_payload)
        try:
            ack = await link.js.publish(subject, payload, headers=sent)
        except BadSubjectError as error:
            raise InvalidNameError("subject", subject, "tokens between dots, without white space") from error
        return Published(stream=ack.stream, seq=ack.seq, duplicate=bool(ack.duplicate))

    return connection.call(work, about=subject)


def newest_id(connection: Connection, subject: str, *, stream: str) -> str | None:
    """The message id of the newest message that *stream* has with this subject."""

    async def work(link: Link) -> str | None:
        try:
            found = await link.js.get_last_msg(stream, subject)
        except NotFoundError as error:
            if error.err_code == NO_MESSAGE:
                return None
            raise UnavailableError("nats", f"{stream}: {error.description}") from error
        return (found.headers or {}).get("Nats-Msg-Id")

    return connection.call(work, about=subject)


def check_size(subject: str, payload: bytes, headers: Mapping[str, str], *, limit: int) -> None:
    """Refuse what the server would answer by closing the connection, and with it every other caller's.

    nats-py looks at the payload alone; the server counts the headers too.
    """
    size = len(payload) + sum(len(f"{key}: {value}\r\n".encode()) for key, value in headers.items())
    if size + len("NATS/1.0\r\n\r\n") > limit:
        raise UnusableInputError(f"a message of at most {limit} bytes with its headers", f"{size} bytes", subject)


class NatsMessage:
    """A message of a consumer; its end is confirmed by the server, on whatever connection is there by then."""

    def __init__(self, connection: Connection, raw: Any) -> None:
        self._connection = connection
        self._raw = raw

    @property
    def subject(self) -> str:
        """Where it was published."""
        return str(self._raw.subject)

    @property
    def payload(self) -> bytes:
        """Its body."""
        return bytes(self._raw.data)

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, the message id among them."""
        return self._raw.headers or {}

    @property
    def stream(self) -> str:
        """The stream that holds it."""
        return str(self._raw.metadata.stream)

    @property
    def stream_seq(self) -> int:
        """Its number there."""
        return int(self._raw.metadata.sequence.stream)

    @property
    def stored_at(self) -> datetime:
        """When the stream took it."""
        at: datetime = self._raw.metadata.timestamp
        return at

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        return int(self._raw.metadata.num_delivered)

    def ack(self) -> None:
        """Done."""
        self._answer(b"+ACK")

    def nak(self, *, delay_s: float = 0) -> None:
        """Not done; deliver again after *delay_s*."""
        delay = b" " + json.dumps({"delay": _ns(delay_s)}).encode() if delay_s else b""
        self._answer(b"-NAK" + delay)

    def term(self) -> None:
        """Never deliver again."""
        self._answer(b"+TERM")

    def in_progress(self) -> None:
        """Still at work: start the acknowledgement's wait anew."""
        self._answer(b"+WPI")

    def _answer(self, word: bytes) -> None:
        reply = str(self._raw.reply)

        async def work(link: Link) -> None:
            await link.client.request(reply, word, timeout=self._connection.timeout_s)

        self._connection.call(work, about=reply)


class NatsSubscription:
    """A durable pull consumer by its name; nothing is asked of the server before the first fetch.

    nats-py's own fetch is not used: when max_ack_pending lets out only a part of the batch, the server goes on
    with it in silence until the request's time is up, and that fetch holds the part back as long. Here the request
    for a batch has a short time, and the one that waits is for a single message.
    """

    def __init__(self, connection: Connection, *, stream: str, consumer: str) -> None:
        self._connection = connection
        self._consumer = f"{stream}.{consumer}"
        self._inboxes: deque[tuple[Link, _Inbox]] = deque()

    def fetch(self, batch: int, *, wait_s: float) -> list[Message]:
        """Up to *batch* messages: what is there at once, else the first that comes within *wait_s*, else none."""

        async def work(link: Link) -> list[Message]:
            inbox = await self._inbox(link)
            try:
                found = await inbox.pull({"batch": batch, "no_wait": True, "expires": _ns(PROBE_S)})
                if not found and wait_s > PROBE_S:
                    found = await inbox.pull({"batch": 1, "expires": _ns(wait_s - PROBE_S)})
            finally:
                self._inboxes.append((link, inbox))
            return [NatsMessage(self._connection, raw) for raw in found]

        within_s = wait_s + self._connection.timeout_s
        return self._connection.call(work, about=self._consumer, within_s=within_s)

    async def _inbox(self, link: Link) -> "_Inbox":
        """One that no other fetch is using now."""
        while self._inboxes:
            made_on, inbox = self._inboxes.popleft()
            if made_on is link:
                return inbox
        address = link.client.new_inbox()
        return _Inbox(link, self._consumer, address, await link.client.subscribe(f"{address}.*"))


class _Inbox:
    """Where a consumer's messages arrive, and the server's words on the requests for them."""

    def __init__(self, link: Link, consumer: str, address: str, arrivals: Any) -> None:
        self._link = link
        self._consumer = consumer
        self._address = address
        self._arrivals = arrivals
        self._requests = 0

    async def pull(self, request: Mapping[str, Any]) -> list[Any]:
        """Ask, and take what comes until the batch is full or the server says that there is no more."""
        self._requests += 1
        reply = f"{self._address}.{self._requests}"
        await self._link.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer}", json.dumps(request).encode(), reply
        )
        found: list[Any] = []
        while len(found) < request["batch"]:
            arrived = await self._arrivals.next_msg(timeout=None)
            status = (arrived.headers or {}).get("Status")
            if status is None:
                found.append(arrived)
            elif arrived.subject == reply:  # not a late word on an earlier request, whose fetch was interrupted
                self._refuse(status, arrived.headers.get("Description", ""), request)
                break
        return found

    def _refuse(self, status: str, description: str, request: Mapping[str, Any]) -> None:
        """Raise unless it just says that there is nothing, or nothing more, or not now."""
        full = status == CONFLICT and ("no_wait" in request or "MaxAckPending" in description)
        if status not in (NOTHING_THERE, TIME_IS_UP) and not full:
            why = "no such consumer" if status == NO_RESPONDERS else description.lower()
            raise UnavailableError("nats", f"{self._consumer}: {why}")


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
