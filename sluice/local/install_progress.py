"""Progress of things that run side by side: plain lines, and on a terminal a last line that says what still runs."""

import threading
import time
from typing import Self, TextIO

INTERVAL_S = 0.5
_CLEAR = "\r\x1b[K"


class Progress:
    """Safe to use from several threads."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._live = output.isatty()
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        if self._live:
            self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._live:
            self._ticker.join()
            self._output.write(_CLEAR)
            self._output.flush()

    def begin(self, name: str) -> None:
        """Count *name* among what runs."""
        with self._lock:
            self._running[name] = time.monotonic()

    def say(self, name: str, text: str) -> None:
        """One line about *name*."""
        with self._lock:
            clear = _CLEAR if self._live else ""
            self._output.write(f"{clear}{name}: {text}\n")
            self._output.flush()

    def end(self, name: str, text: str) -> None:
        """The last line about *name*."""
        with self._lock:
            self._running.pop(name, None)
        self.say(name, text)

    def _tick(self) -> None:
        while not self._over.wait(INTERVAL_S):
            with self._lock:
                now = time.monotonic()
                shown = ", ".join(f"{name} {now - since:.0f} s" for name, since in self._running.items())
                self._output.write(f"{_CLEAR}{shown}")
                self._output.flush()
