"""Publishes what happens to cameras; with NATS away it keeps the newest, in order, until it is back."""

import logging
import threading
from collections import deque
from datetime import datetime
from typing import Any, Final

from sluice import events
from sluice.bus import Bus
from sluice.errors import UnavailableError
from sluice.names import event_id, subject

MOST: Final = 2000
RETRY_S: Final = 1.0
PART: Final = "segmenter"

log = logging.getLogger("segmenter.herald")


class Herald:
    """tell() from any thread."""

    def __init__(self, bus: Bus) -> None:
        self.lost = 0
        """Events that had to give way to newer ones."""
        self._bus = bus
        self._waiting: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ended = False
        threading.Thread(target=self._publish_for_ever, name="herald", daemon=True).start()

    def tell(self, data: Any) -> None:
        """Publish an event with this data, soon."""
        with self._changed:
            if len(self._waiting) >= MOST:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(data)
            self._changed.notify_all()

    def end(self, *, timeout_s: float) -> None:
        """Publish what is waiting, if NATS takes it in time."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)
            self._ended = True
            self._changed.notify_all()

    def _publish_for_ever(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                data = self._waiting[0]
            try:
                self._publish(data)
            except UnavailableError as error:
                log.warning("events wait: %s", error)
                with self._changed:
                    self._changed.wait(RETRY_S)
                continue
            except Exception:  # one event that cannot be published must not keep the others
                log.exception("an event is not published")
            with self._changed:
                if self._waiting and self._waiting[0] is data:
                    self._waiting.popleft()
                self._changed.notify_all()

    def _publish(self, data: Any) -> None:
        at: datetime = data.at
        known_by = event_id(data.TYPE, data.camera, at.isoformat(), getattr(data, "reason", ""))
        event = events.new(data, part=PART, camera=data.camera, event_id=known_by, time=at)
        headers, payload = events.to_nats(event)
        self._bus.publish(subject(data.KIND, data.camera), payload, message_id=event.id, headers=headers)
