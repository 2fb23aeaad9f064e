"""A bus with streams, readers and a bucket that no other test knows."""

import uuid
from dataclasses import dataclass, replace

from sluice.bus import Bus, Message, Subscription
from sluice.topology import Bucket, Consumer, Stream

SOON_S = 10.0
ACK_WAIT_S = 0.5
MIB = 1 << 20


@dataclass(frozen=True)
class Scene:
    """A bus with a limits stream, a work queue and a bucket that no other test knows."""

    bus: Bus
    log: Stream
    queue: Stream
    log_reader: Consumer
    queue_reader: Consumer
    bucket: Bucket

    @classmethod
    def prepared(cls, bus: Bus) -> "Scene":
        """Made on *bus* under names of its own."""
        name = uuid.uuid4().hex[:12]
        log = Stream(
            name=f"{name}_LOG",
            subjects=(f"{name}.log.*",),
            about="a log",
            max_age_s=3600,
            max_bytes=8 * MIB,
            dedupe_s=60,
        )
        queue = replace(log, name=f"{name}_QUEUE", subjects=(f"{name}.queue.*",), about="a queue", work_queue=True)
        reader = Consumer(stream=log.name, name="reader", ack_wait_s=ACK_WAIT_S)
        scene = cls(bus, log, queue, reader, replace(reader, stream=queue.name), Bucket(name=name, about="entries"))
        scene.ensure()
        return scene

    def ensure(self) -> tuple[str, ...]:
        """Make or mend all of it."""
        return self.bus.ensure([self.log, self.queue], [self.log_reader, self.queue_reader], [self.bucket])

    def subject(self, stream: Stream, leaf: str = "a") -> str:
        """One of the stream's subjects."""
        return stream.subjects[0].replace("*", leaf)

    def put(self, stream: Stream, *texts: str) -> None:
        """Publish each text under itself as the id."""
        for text in texts:
            self.bus.publish(self.subject(stream), text.encode(), message_id=text)


def texts(messages: list[Message]) -> list[str]:
    return [message.payload.decode() for message in messages]


def fetch_soon(subscription: Subscription, batch: int = 10) -> list[Message]:
    """The next messages, which must come."""
    found = subscription.fetch(batch, wait_s=SOON_S)
    assert found
    return found
