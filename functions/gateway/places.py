"""What takes long takes one of a bounded number of places: the rest of the threads is for playlists and health."""

import threading

from functions.gateway.answers import full


class Places:
    """So many at once, and no more."""

    def __init__(self, count: int, what: str) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._what = what

    def take(self) -> None:
        """Raises Refused (503) when none is free."""
        if not self._free.acquire(blocking=False):
            raise full(self._what)

    def leave(self) -> None:
        """It is free again."""
        self._free.release()

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.leave()
