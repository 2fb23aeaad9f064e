"""A few threads upload for every camera of a worker: each uploader is stepped when it is due, by one at a time."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

THREADS: Final = 4
"""With a store that hangs, each camera waits its turn; with one that is gone, none waits long."""
AFTER_BUG_S: Final = 15.0

log = logging.getLogger("segmenter.uploads")


class Steps(Protocol):
    """What is stepped."""

    def step(self) -> float | None:
        """Do a piece of work; returns the seconds until the next, None for: when woken."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Entry:
    name: str
    steps: Steps
    running: bool = False
    woken: bool = False
    due: float | None = None


class Uploads:
    """add() and wake() from any thread."""

    def __init__(self, *, threads: int = THREADS, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, _Entry] = {}  # sixteen and some: looking at each costs less than keeping a heap
        lock = threading.Lock()
        self._changed, self._idle = threading.Condition(lock), threading.Condition(lock)
        for number in range(threads):
            threading.Thread(target=self._work, name=f"upload-{number}", daemon=True).start()

    def add(self, name: str, steps: Steps) -> None:
        """Begin to step it, now."""
        with self._changed:
            self._entries[name] = _Entry(name=name, steps=steps, due=self._now())
            self._changed.notify()

    def wake(self, name: str) -> None:
        """Something was added for it."""
        with self._changed:
            entry = self._entries.get(name)
            if entry is None:
                return
            entry.woken = True
            if not entry.running:
                entry.due = self._now()
                self._changed.notify()

    def remove(self, name: str) -> None:
        """Step it no more; returns when the last step has ended."""
        with self._changed:
            entry = self._entries.pop(name, None)
            self._idle.wait_for(lambda: entry is None or not entry.running)

    def _work(self) -> None:
        while True:
            entry = self._taken()
            try:
                wait_s = entry.steps.step()
            except Exception:  # a bug that one camera shows must not end the uploads of all
                log.exception("camera %s", entry.name)
                wait_s, entry.woken = AFTER_BUG_S, False
            with self._changed:
                entry.running = False
                # What came during the step may have come after it looked.
                wait_s = 0.0 if entry.woken else wait_s
                entry.due = None if wait_s is None else self._now() + wait_s
                self._idle.notify_all()

    def _taken(self) -> _Entry:
        with self._changed:
            while True:
                waiting = [(each.due, each) for each in self._entries.values() if each.due is not None]
                due, entry = min(waiting, key=lambda pair: pair[0], default=(None, None))
                wait_s = None if due is None else due - self._now()
                if entry is not None and wait_s is not None and wait_s <= 0:
                    entry.running, entry.woken, entry.due = True, False, None
                    self._changed.notify()  # one of the others keeps the time now
                    return entry
                self._changed.wait(wait_s)
