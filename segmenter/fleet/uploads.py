"""A few threads upload for every camera of a worker: each uploader is stepped when it is due, by one at a time."""

import heapq
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


@dataclass(slots=True, kw_only=True)
class _Entry:
    steps: Steps
    running: bool = False
    woken: bool = False
    due: float | None = None


class Uploads:
    """add() and wake() from any thread."""

    def __init__(self, *, threads: int = THREADS, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._due: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"upload-{number}", daemon=True).start()

    def add(self, name: str, steps: Steps) -> None:
        """Begin to step it, now."""
        with self._changed:
            self._entries[name] = _Entry(steps=steps)
            self._schedule(name, self._now())

    def wake(self, name: str) -> None:
        """Something was added for it."""
        with self._changed:
            entry = self._entries.get(name)
            if entry is None:
                return
            entry.woken = True
            if not entry.running:
                self._schedule(name, self._now())

    def remove(self, name: str) -> None:
        """Step it no more; returns when the last step has ended."""
        with self._changed:
            entry = self._entries.pop(name, None)
            self._changed.wait_for(lambda: entry is None or not entry.running)

    def _schedule(self, name: str, due: float) -> None:
        entry = self._entries[name]
        if entry.due is None or due < entry.due:
            entry.due = due
            heapq.heappush(self._due, (due, name))
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            name, entry = self._taken()
            try:
                wait_s = entry.steps.step()
            except Exception:  # a bug that one camera shows must not end the uploads of all
                log.exception("camera %s", name)
                wait_s = AFTER_BUG_S
            with self._changed:
                entry.running = False
                if self._entries.get(name) is entry:
                    if entry.woken and wait_s is None:
                        wait_s = 0.0
                    if wait_s is not None:
                        self._schedule(name, self._now() + wait_s)
                self._changed.notify_all()

    def _taken(self) -> tuple[str, _Entry]:
        with self._changed:
            while True:
                while self._due and self._is_stale(*self._due[0]):
                    heapq.heappop(self._due)
                wait_s = self._due[0][0] - self._now() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    _, name = heapq.heappop(self._due)
                    entry = self._entries[name]
                    entry.running, entry.woken, entry.due = True, False, None
                    return name, entry
                self._changed.wait(wait_s)

    def _is_stale(self, due: float, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is None or entry.due != due
