"""Events of cameras reach NATS in order, over any outage, and never fill memory."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from segmenter.fleet.herald import MOST, Herald
from sluice import events
from sluice.bus import Published
from sluice.contracts.camera import CameraOffline, ChunksDropped
from sluice.errors import UnavailableError
from sluice.testing.bus import MemoryBus

LONG_S = 10.0
AT = datetime(2026, 9, 21, tzinfo=UTC)


def offline(number: int, **changes: Any) -> CameraOffline:
    """An event of its own time."""
    fields: dict[str, Any] = {
        "camera": "gate",
        "at": AT + timedelta(seconds=number),
        "reason": "silent",
        "detail": str(number),
    }
    return CameraOffline(**(fields | changes))


def wait(bus: MemoryBus, holds: Callable[[], bool]) -> None:
    """Until something about the bus is true."""
    with bus.still:
        assert bus.still.wait_for(holds, LONG_S), len(bus.published)


def details(bus: MemoryBus) -> list[str]:
    """Of what was published, in order."""
    found = [events.from_nats(each.headers, each.payload, CameraOffline) for each in bus.published]
    return [each.data.detail for each in found]


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmenter.fleet.herald.RETRY_S", 0.01)


def test_events_are_published_in_order() -> None:
    """Under the camera's subject."""
    bus = MemoryBus()
    herald = Herald(bus)

    for number in range(50):
        herald.tell(offline(number))
    herald.end(timeout_s=LONG_S)

    assert details(bus) == [str(number) for number in range(50)]
    assert {each.subject for each in bus.published} == {"sluice.v1.cameras.gate"}


def test_an_outage_keeps_the_order() -> None:
    """What was told meanwhile comes when NATS is back, and nothing twice."""
    bus = MemoryBus()
    herald = Herald(bus)
    herald.tell(offline(0))
    wait(bus, lambda: len(bus.published) == 1)
    bus.available = False

    for number in range(1, 20):
        herald.tell(offline(number))
    bus.available = True
    herald.end(timeout_s=LONG_S)

    assert details(bus) == [str(number) for number in range(20)]
    assert herald.lost == 0


class LateBus(MemoryBus):
    """Takes none of the first seven: one may be on its way just when the others can be taken."""

    def publish(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Published:
        """See Bus.publish."""
        event = events.from_nats(headers or {}, payload, CameraOffline)
        if int(event.data.detail) < 7:
            raise UnavailableError("nats", "away")
        return super().publish(subject, payload, message_id=message_id, headers=headers)


def test_a_long_outage_costs_the_oldest() -> None:
    """Memory is bounded; what was lost is counted."""
    bus = LateBus()
    bus.available = False
    herald = Herald(bus)

    for number in range(MOST + 7):
        herald.tell(offline(number))
    bus.available = True
    herald.end(timeout_s=LONG_S)

    assert herald.lost == 7
    assert details(bus) == [str(number) for number in range(7, MOST + 7)]


def test_the_same_event_has_the_same_id() -> None:
    """A retry whose first answer was lost is dropped by the stream; two reasons at once are two events."""
    bus = MemoryBus()
    herald = Herald(bus)

    for _ in range(2):
        herald.tell(offline(1))
    herald.tell(offline(1, reason="ended"))
    herald.tell(offline(1, camera="yard"))
    herald.tell(ChunksDropped(camera="gate", at=AT + timedelta(seconds=1), reason="silent", chunks=1, size_bytes=1))
    herald.end(timeout_s=LONG_S)

    assert len(bus.published) == 4
    assert len({each.message_id for each in bus.published}) == 4


def test_an_event_that_cannot_be_published_keeps_no_other() -> None:
    """One that is too large, one that is none at all."""
    bus = MemoryBus()
    herald = Herald(bus)

    herald.tell(offline(0, detail="x" * (2 << 20)))
    herald.tell(object())
    herald.tell(offline(1))
    herald.end(timeout_s=LONG_S)

    assert details(bus) == ["1"]


def test_the_end_waits_no_longer_than_it_is_told() -> None:
    """With NATS away."""
    bus = MemoryBus()
    bus.available = False
    herald = Herald(bus)
    herald.tell(offline(0))

    ending = threading.Thread(target=herald.end, kwargs={"timeout_s": 0.05})
    ending.start()
    ending.join(LONG_S)

    assert not ending.is_alive()
    bus.available = True
    wait(bus, lambda: len(bus.published) == 1)
