"""Streams, consumers and buckets that a wiped NATS server lost are made again, by the definitions of `sluice init`."""

import logging
import threading
import time
from typing import Final

from sluice.bus import Bus
from sluice.errors import SettingsError, UnavailableError
from sluice.topology import BUCKETS, CONSUMERS, STREAMS, Bucket, Consumer, Stream

EVERY_S: Final = 5.0
"""Nobody tells of a bucket or of a stream that only functions publish to: look."""
AT_MOST_EVERY_S: Final = 0.5
UNREACHABLE_S: Final = 15.0

log = logging.getLogger(__name__)


class Keeper:
    """Looks now and then, and at once when somebody missed something."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._reached_at: float | None = None
        self._trouble = "not reached yet"
        self._refused: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Look at once instead of in a while."""
        self._wanted.set()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """False before its start and after its end."""
        return self._thread.is_alive()

    @property
    def trouble(self) -> str | None:
        """Why NATS cannot be reached, None while it can."""
        lately = self._reached_at is not None and time.monotonic() - self._reached_at < UNREACHABLE_S
        return None if lately else self._trouble

    def make_missing(self) -> None:
        """Make what is missing; raises UnavailableError when NATS does not answer."""
        for stream in STREAMS:
            self._ensure(f"stream {stream.name}", stream=stream)
        for consumer in CONSUMERS:
            self._ensure(f"consumer {consumer.stream}/{consumer.name}", consumer=consumer)
        for bucket in BUCKETS:
            self._ensure(f"bucket {bucket.name}", bucket=bucket)
        self._reached_at = time.monotonic()

    def _ensure(
        self, what: str, *, stream: Stream | None = None, consumer: Consumer | None = None, bucket: Bucket | None = None
    ) -> None:
        wanted = [stream] if stream else [], [consumer] if consumer else [], [bucket] if bucket else []
        differences = self._bus.differences(*wanted)
        if f"{what}: missing" not in differences:
            self._note(what, differences)
            return
        try:
            for change in self._bus.ensure(*wanted):
                log.warning("made again: %s", change)
        except SettingsError as error:
            self._note(what, error.problems)

    def _note(self, what: str, differences: tuple[str, ...]) -> None:
        """Changing what is there is `sluice init`'s right, not ours."""
        if differences and what not in self._refused:
            log.error("run sluice init: %s", "; ".join(differences))
        (self._refused.add if differences else self._refused.discard)(what)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            try:
                self.make_missing()
            except UnavailableError as error:
                self._trouble = str(error)
                log.warning("not looked after for now: %s", error)
            except Exception:  # whatever it was, the next look may go well, and without one nothing is made again
                log.exception("looking after NATS failed")
            if not self._stopping.wait(AT_MOST_EVERY_S):
                self._wanted.wait(EVERY_S)
