"""Brokers: events come in by HTTP and are kept in a JetStream stream until every Trigger is done with them."""

import base64
import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import nats
from aiohttp import web
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, RetentionPolicy, StreamConfig
from nats.js.errors import NotFoundError

from sluice.errors import InvalidEventError, UnavailableError
from sluice.local.knative.wire import CloudEvent, from_http
from sluice.local.manifests import specs
from sluice.topology import DAY_S, GIB, HOUR_S

MAX_EVENT_BYTES: Final = 1 << 20
MAX_HOPS: Final = 255
"""A reply has one hop less than its cause, as at Knative's ingress: a loop of replies ends."""
HOPS: Final = "knativebrokerttl"
ACK_WAIT_S: Final = 15
"""After the death of the runtime its unfinished events come again this late."""
MAX_HELD: Final = 1000
"""Unfinished events of one Trigger; the rest waits in the stream."""
STREAMS: Final = "SLUICE_BROKER_"


def consumer_of(trigger: str) -> str:
    """The name of a Trigger's durable consumer; NATS allows no dots, and Kubernetes no underscores."""
    return trigger.replace(".", "_")


class Broker:
    """One Broker's stream."""

    def __init__(self, spec: specs.Broker, client: Client) -> None:
        self.spec = spec
        self.client = client
        self.stream = STREAMS + spec.name.upper().replace("-", "_").replace(".", "_")
        self.subject = f"sluice.broker.{spec.name.replace('.', '_')}"
        self.jetstream: JetStreamContext = client.jetstream(timeout=5)

    async def ensure(self) -> None:
        """Make the stream; interest retention keeps an event until each Trigger's consumer acknowledged it.

        A full stream refuses (503) instead of dropping what was accepted with 202.
        """
        config = StreamConfig(
            name=self.stream,
            subjects=[self.subject],
            retention=RetentionPolicy.INTEREST,
            discard=DiscardPolicy.NEW,
            max_age=7 * DAY_S,
            max_bytes=GIB,
            duplicate_window=2 * HOUR_S,
        )
        try:
            await self.jetstream.stream_info(self.stream)
        except NotFoundError:
            await self.jetstream.add_stream(config)

    async def add_consumer(self, trigger: str) -> None:
        """Make the Trigger's durable consumer; it starts with what comes from now on, as a new Trigger does."""
        await self.ensure()
        name = consumer_of(trigger)
        try:
            await self.jetstream.consumer_info(self.stream, name)
        except NotFoundError:
            config = ConsumerConfig(
                durable_name=name,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                deliver_policy=DeliverPolicy.NEW,
                max_ack_pending=MAX_HELD,
            )
            await self.jetstream.add_consumer(self.stream, config)

    async def delete(self) -> None:
        """The Broker was deleted, and what it held with it."""
        with contextlib.suppress(NotFoundError):
            await self.jetstream.delete_stream(self.stream)

    async def keep_consumers(self, triggers: set[str]) -> None:
        """Delete the consumers of Triggers that are gone, which would hold every event until the stream is full."""
        for found in await self.jetstream.consumers_info(self.stream):
            if found.name not in {consumer_of(each) for each in triggers}:
                await self.jetstream.delete_consumer(self.stream, found.name)

    async def pending(self) -> int:
        """Events that some Trigger is not done with."""
        found = await self.jetstream.consumers_info(self.stream)
        return sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in found)

    async def publish(self, event: CloudEvent, *, message_id: str | None = None) -> None:
        """Keep the event; returns when it is on disk, raises UnavailableError."""
        if not self.client.is_connected:
            raise UnavailableError("NATS", "not connected")
        arrival = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        payload = encode(event.extended(knativearrivaltime=arrival))
        headers = {"Nats-Msg-Id": message_id} if message_id else None
        try:
            try:
                await self.jetstream.publish(self.subject, payload, headers=headers)
            except nats.js.errors.NoStreamResponseError:
                await self.ensure()
                await self.jetstream.publish(self.subject, payload, headers=headers)
        except MaxPayloadError as error:
            raise InvalidEventError(f"at most {MAX_EVENT_BYTES} bytes", f"{len(payload)} bytes") from error
        except (NatsError, TimeoutError) as error:
            raise UnavailableError("NATS", repr(error)) from error


def encode(event: CloudEvent) -> bytes:
    """The form in the stream: one line of attributes, then the data as it came."""
    return json.dumps(dict(event.attributes)).encode() + b"\n" + event.data


def decode(payload: bytes) -> CloudEvent:
    """Read what `encode` wrote."""
    head, _, data = payload.partition(b"\n")
    return CloudEvent(attributes=json.loads(head), data=data)


def ingress(brokers: Mapping[str, Broker]) -> web.Application:
    """POST /<namespace>/<broker>: 202 once the event is durable."""

    async def receive(request: web.Request) -> web.Response:
        broker = brokers.get(request.match_info["broker"])
        if broker is None or broker.spec.namespace != request.match_info["namespace"]:
            return web.Response(status=404, text="no such Broker")
        try:
            event = from_http(request.headers, await request.read())
            await broker.publish(event.extended(**{HOPS: _hops(event)}))
        except InvalidEventError as error:
            return web.Response(status=400, text=str(error))
        except UnavailableError as error:
            return web.Response(status=503, text=str(error))
        return web.Response(status=202)

    app = web.Application(client_max_size=MAX_EVENT_BYTES)
    app.router.add_post("/{namespace}/{broker}", receive)
    return app


def _hops(event: CloudEvent) -> str:
    known = event.attributes.get(HOPS, "")
    return known if known.isdecimal() and int(known) < MAX_HOPS else str(MAX_HOPS)


def error_extensions(destination: str, status: int, body: bytes) -> dict[str, str]:
    """What Knative writes on a dead letter; the body's base64 is cut at 1024 characters, as there."""
    data = base64.b64encode(body).decode()[:1024]
    return {"knativeerrordest": destination, "knativeerrorcode": str(status), "knativeerrordata": data}
