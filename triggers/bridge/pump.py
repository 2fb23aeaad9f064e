"""A durable consumer's messages handed to workers, each ended by itself: a bad or slow one keeps no other waiting."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sluice import telemetry
from sluice.bus import Bus, Message
from sluice.errors import UnavailableError
from sluice.topology import Consumer

FETCH_WAIT_S: Final = 1.0
"""How long a stop may take to be noticed."""
FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 30.0

Work = Callable[[Message], None]
"""Returns when the message is done with; raises UnavailableError when it has to come again."""

log = logging.getLogger(__name__)


class Pump:
    """Fetches as many messages as workers are free, until it is stopped."""

    def __init__(
        self, name: str, work: Work, *, bus: Bus, consumer: Consumer, workers: int, missed: Callable[[], None]
    ) -> None:
        self.name = name
        self._work = work
        self._workers = workers
        self._missed = missed
        """Called when NATS did not do what it was asked: something may have to be made again."""
        # Here, on the thread that starts the others: the first use of the bus imports nats-py, and two threads that
        # import its circular modules at once may leave both with half of them, for good.
        self._subscription = bus.subscribe(consumer)
        self._free = threading.Semaphore(workers)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name} pump", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Fetch no more; returns when every message at work is ended."""
        self._stopping.set()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """False before its start and after its end."""
        return self._thread.is_alive()

    def _run(self) -> None:
        with ThreadPoolExecutor(self._workers, thread_name_prefix=self.name) as pool:
            while not self._stopping.is_set():
                try:
                    self._turn(pool)
                except UnavailableError as error:
                    log.warning("%s: nothing is fetched for now: %s", self.name, error)
                    self._missed()
                    self._stopping.wait(FETCH_WAIT_S)
                except Exception:  # the line must not end by a bug in one turn, and the next may go well
                    log.exception("%s: fetching failed", self.name)
                    self._stopping.wait(FETCH_WAIT_S)

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        if not self._free.acquire(timeout=FETCH_WAIT_S):
            return
        slots = 1
        try:
            while slots < self._workers and self._free.acquire(blocking=False):
                slots += 1
            for message in self._subscription.fetch(slots, wait_s=FETCH_WAIT_S):
                pool.submit(self._handle, message)
                slots -= 1
        finally:
            if slots:
                self._free.release(slots)

    def _handle(self, message: Message) -> None:
        telemetry.unbind()
        try:
            self._end(message)
        except UnavailableError as error:
            # Nothing is lost: without its end the message comes again after the consumer's ack_wait.
            log.warning("%s: message %d is not ended: %s", self.name, message.stream_seq, error)
            self._missed()
        except Exception:  # a worker's error would vanish in its future, and the message would come again unnoticed
            log.exception("%s: message %d is not ended", self.name, message.stream_seq)
        finally:
            self._free.release()

    def _end(self, message: Message) -> None:
        try:
            self._work(message)
        except UnavailableError as error:
            log.warning("%s: message %d comes again: %s", self.name, message.stream_seq, error)
            if error.service == "nats":
                self._missed()
            self._again(message)
        except Exception:  # a bug: as for a function, it is tried again and seen, never dropped
            log.exception("%s: message %d comes again", self.name, message.stream_seq)
            self._again(message)
        else:
            message.ack()

    def _again(self, message: Message) -> None:
        telemetry.current().count("bridge_retried", pump=self.name)
        message.nak(delay_s=pause_s(message.deliveries))


def pause_s(deliveries: int) -> float:
    """The wait before the next delivery: doubled each time, up to half a minute."""
    doublings = min(max(deliveries - 1, 0), 16)
    return min(LAST_RETRY_S, FIRST_RETRY_S * 2.0**doublings)
