"""Events of both streams as one flow, oldest first: it goes on where it was when NATS comes back."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Final

from sluice.bus import Bus, Message, Subscription
from sluice.errors import UnavailableError
from sluice.topology import Consumer, Stream

BATCH: Final = 200
WAIT_S: Final = 0.25
"""On each stream in turn, while nothing comes."""
AGAIN_S: Final = 1.0
FORGOTTEN_S: Final = 60.0
"""How long what was killed leaves its consumer at the server."""
_ROUNDING: Final = timedelta(milliseconds=1)


@dataclass(slots=True, kw_only=True)
class _Tail:
    """One stream, and how far it is."""

    bus: Bus
    stream: Stream
    filters: tuple[str, ...]
    since: datetime
    last: tuple[datetime, int] | None = None
    held: deque[Message] = field(default_factory=deque)
    subscription: Subscription | None = None

    def fill(self, wait_s: float) -> None:
        """Fetch if nothing is held; raises UnavailableError, after which the next call begins where this one was."""
        if self.held:
            return
        try:
            self.subscription = self.subscription or self._subscribed()
            self.held += [each for each in self.subscription.fetch(BATCH, wait_s=wait_s) if self._is_new(each)]
        except UnavailableError:
            self.subscription = None
            raise

    def _subscribed(self) -> Subscription:
        consumer = Consumer(
            stream=self.stream.name,
            # Where a consumer began cannot be changed, so each is a new one; by chance, as every pod has a process 1.
            name=f"follow-{token_hex(8)}",
            filter_subjects=self.filters,
            since=self.last[0] - _ROUNDING if self.last else self.since,
            acks=False,
            inactive_s=FORGOTTEN_S,
        )
        self.bus.ensure([self.stream], [consumer], [])
        return self.bus.subscribe(consumer)

    def _is_new(self, message: Message) -> bool:
        """By time as well as number: a wiped stream counts from one again."""
        at = (message.stored_at, message.stream_seq)
        if self.last and at[0] <= self.last[0] and at[1] <= self.last[1]:
            return False
        self.last = at
        return True


def follow(
    bus: Bus,
    wanted: dict[Stream, tuple[str, ...]],
    *,
    since: datetime,
    lost: Callable[[UnavailableError], object] | None = None,
    wait_s: float = WAIT_S,
) -> Iterator[Message | None]:
    """Messages as they lie on the streams, merged by time; None whenever *wait_s* pass without one on each.

    With *lost* a server that does not answer is told there, and asked again for ever; without, it is raised.
    """
    tails = [_Tail(bus=bus, stream=stream, filters=filters, since=since) for stream, filters in wanted.items()]
    while True:
        try:
            _fill(tails, wait_s)
        except UnavailableError as error:
            if lost is None:
                raise
            lost(error)
            time.sleep(AGAIN_S)
        ready = [tail for tail in tails if tail.held]
        yield min(ready, key=lambda tail: tail.held[0].stored_at).held.popleft() if ready else None


def _fill(tails: Sequence[_Tail], wait_s: float) -> None:
    for tail in tails:
        idle = not any(each.held for each in tails)
        tail.fill(wait_s if idle else 0)
