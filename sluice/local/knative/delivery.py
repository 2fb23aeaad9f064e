"""One Trigger: takes events off its Broker's stream and brings each to its subscriber, or to the dead letter sink."""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from sluice.errors import InvalidEventError, UnavailableError
from sluice.filters import passes
from sluice.local.cancellation import heed_cancellation
from sluice.local.knative.broker import (
    ACK_WAIT_S,
    HOPS,
    MAX_HELD,
    MAX_HOPS,
    Broker,
    consumer_of,
    decode,
    error_extensions,
)
from sluice.local.knative.wire import CloudEvent, from_http, to_headers
from sluice.local.manifests.specs import Destination, Trigger

IN_FLIGHT: Final = 64
"""Requests of one Trigger at once; an event that waits for its next try takes no place."""
RETRIED: Final = (404, 408, 409, 429)
"""Besides 5xx: knative.dev/eventing/pkg/kncloudevents/retries.go."""
DEAD_LETTER_AGAIN_S: Final = 10
MAX_REPLY_BYTES: Final = 1 << 20
ANSWER_S: Final = 630
"""For a Trigger without delivery.timeout: a ksvc answers within 600 s, if only by 504."""

Locate = Callable[[Destination], str]
"""The address on this machine; raises UnavailableError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the last try."""

    status: int
    body: bytes = b""
    reply: CloudEvent | None = None

    @property
    def delivered(self) -> bool:
        """True for every 2xx."""
        return 200 <= self.status < 300

    @property
    def worth_another_try(self) -> bool:
        """False where trying again cannot help: the event goes to the dead letter sink at once."""
        return self.status >= 500 or self.status in RETRIED


class Dispatcher:
    """Delivers for one Trigger; its spec may be replaced at any time and holds from the next event on."""

    def __init__(self, spec: Trigger, broker: Broker, http: aiohttp.ClientSession, locate: Locate) -> None:
        self.spec = spec
        self.broker = broker
        self.problem: str | None = None
        self.counts = dict.fromkeys(("delivered", "filtered", "retried", "dead_lettered", "dropped"), 0)
        self._http, self._locate = http, locate
        self._requests = asyncio.Semaphore(IN_FLIGHT)
        self._held: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Fetch and deliver until cancelled; a stream or consumer that vanished is made again."""
        try:
            while True:
                heed_cancellation()
                try:
                    await self._fetch_for_ever()
                except (NatsError, TimeoutError) as error:
                    self.problem = f"no events from {self.broker.stream}: {error!r}"
                    await asyncio.sleep(0.5)
        finally:
            for task in self._held:
                task.cancel()
            await asyncio.gather(*self._held, return_exceptions=True)

    async def _fetch_for_ever(self) -> None:
        await self.broker.add_consumer(self.spec.name)
        jetstream, stream, durable = self.broker.jetstream, self.broker.stream, consumer_of(self.spec.name)
        subscription = await jetstream.pull_subscribe_bind(durable=durable, stream=stream)
        try:
            while True:
                heed_cancellation()
                self.problem = None
                while len(self._held) >= MAX_HELD:
                    await asyncio.wait(self._held, return_when=asyncio.FIRST_COMPLETED)
                try:
                    messages = await subscription.fetch(1, timeout=2)
                except TimeoutError:
                    # Nothing came, or a wiped server forgot the consumer: asking tells the two apart.
                    await jetstream.consumer_info(stream, durable)
                    continue
                for message in messages:
                    self._hold(message)
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    def _hold(self, message: Msg) -> None:
        task = asyncio.create_task(self._handle(message))
        self._held.add(task)
        task.add_done_callback(self._held.discard)

    async def _handle(self, message: Msg) -> None:
        """Acknowledge once the outcome is durable; whatever ends us earlier lets the event come again."""
        heartbeat = asyncio.create_task(self._heartbeat(message))
        try:
            await self._deliver(message, decode(message.data))
            await message.ack()
        except UnavailableError as error:
            self.problem = str(error)
            with contextlib.suppress(NatsError):
                await message.nak(delay=DEAD_LETTER_AGAIN_S)
        except asyncio.CancelledError:
            # We stop in order: the next runtime gets it at once, not after ACK_WAIT_S.
            with contextlib.suppress(NatsError):
                await message.nak()
            raise
        except NatsError as error:
            self.problem = f"not acknowledged, will come again: {error!r}"
        finally:
            heartbeat.cancel()

    async def _heartbeat(self, message: Msg) -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            with contextlib.suppress(NatsError):
                await message.in_progress()

    async def _deliver(self, message: Msg, kept: CloudEvent) -> None:
        hops = int(kept.attributes.get(HOPS, MAX_HOPS))
        event = kept.without(HOPS)
        if not passes(self.spec.filters, event.attributes):
            self.counts["filtered"] += 1
            return
        spec = self.spec
        outcome = await self._try(spec, spec.subscriber, event)
        if not outcome.delivered:
            await self._bury(spec, event, outcome)
            return
        if outcome.reply and hops > 1:
            reply = outcome.reply.extended(**{HOPS: str(hops - 1)})
            try:
                await self.broker.publish(reply, message_id=_reply_id(spec, message, reply))
            except InvalidEventError as error:
                await self._bury(
                    spec, event, Outcome(status=502, body=f"the Broker refuses the reply: {error}".encode())
                )
                return
        self.counts["delivered"] += 1

    async def _try(self, spec: Trigger, destination: Destination, event: CloudEvent) -> Outcome:
        retries = spec.delivery.retry or 0
        for retry in range(retries + 1):
            async with self._requests:
                outcome = await self._post(spec, destination, event)
            if outcome.delivered or not outcome.worth_another_try or retry == retries:
                break
            self.counts["retried"] += 1
            await asyncio.sleep(spec.delivery.pause_s(retry))
        return outcome

    async def _post(self, spec: Trigger, destination: Destination, event: CloudEvent) -> Outcome:
        timeout = aiohttp.ClientTimeout(total=spec.delivery.timeout_s or ANSWER_S)
        headers = {**to_headers(event), "prefer": "reply"}
        try:
            url = self._locate(destination)
            async with self._http.post(
                url,
                data=event.data,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                skip_auto_headers=["Content-Type"],
            ) as answer:
                body = await answer.content.read(MAX_REPLY_BYTES + 1)
                while len(body) <= MAX_REPLY_BYTES and (more := await answer.content.read(MAX_REPLY_BYTES)):
                    body += more
                return _outcome(answer.status, answer.headers, body)
        except (aiohttp.ClientError, TimeoutError, UnavailableError) as error:
            # Knative's dispatcher reports "no response" as 500 with this text.
            return Outcome(status=500, body=f"dispatch error: {error!r}".encode())

    async def _bury(self, spec: Trigger, event: CloudEvent, outcome: Outcome) -> None:
        sink = spec.delivery.dead_letter
        if sink is None:
            self.counts["dropped"] += 1
            self.problem = f"dropped event {event.attributes['id']}, no deadLetterSink: {outcome.status}"
            return
        letter = event.extended(**error_extensions(spec.subscriber.public, outcome.status, outcome.body))
        buried = await self._try(spec, sink, letter)
        if not buried.delivered:
            reason = f"answered {buried.status} {buried.body[:200]!r}"
            raise UnavailableError(
                f"dead letter sink {sink.public}", f"{reason}; event {event.attributes['id']} is kept"
            )
        self.counts["dead_lettered"] += 1


def _outcome(status: int, headers: Any, body: bytes) -> Outcome:
    if not 200 <= status < 300 or (not body and not any(name.lower().startswith("ce-") for name in headers)):
        return Outcome(status=status, body=body)
    if len(body) > MAX_REPLY_BYTES:
        return Outcome(status=502, body=f"the reply has more than {MAX_REPLY_BYTES} bytes".encode())
    try:
        return Outcome(status=status, reply=from_http(headers, body))
    except InvalidEventError as error:
        # MTChannelBasedBroker: "The response MUST be either empty or a valid CloudEvent".
        return Outcome(status=502, body=f"the answer is neither empty nor an event: {error}".encode())


def _reply_id(spec: Trigger, message: Msg, reply: CloudEvent) -> str:
    """One reply to one delivery is kept once, however often that delivery is repeated.

    The cause's place in the stream is part of it: when the same thing is announced anew (another cause), the same
    reply is wanted again, and must not vanish as a duplicate.
    """
    identity = f"{reply.attributes['source']}\n{reply.attributes['id']}"
    return f"{spec.name}:{message.metadata.sequence.stream}:{hashlib.sha256(identity.encode()).hexdigest()}"
