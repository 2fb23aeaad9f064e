"""What a stream of a running line holds."""

import time
from collections.abc import Iterator
from datetime import datetime

from sluice.bus import Message
from sluice.topology import Consumer
from tests.services.line import Line


def told(line: Line, stream: str, subject: str, *, since: datetime) -> Iterator[Message]:
    """Its messages of a subject that it took since then, as its administrator reads them."""
    bus = line.bus()
    reader = Consumer(
        stream=stream, name=f"reader-{time.monotonic_ns()}", filter_subject=subject, since=since, inactive_s=60
    )
    bus.ensure([], [reader], [])
    subscription = bus.subscribe(reader)
    while fetched := subscription.fetch(200, wait_s=0.5):
        for message in fetched:
            message.ack()
            yield message
    bus.close()
