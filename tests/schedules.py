"""Several threads of work of which one moves at a time, from one call of the store to the next, in a given order."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sluice.errors import SluiceError
from sluice.store import ListedObject, StoredObject
from tests.packaging import WatchedStore

STUCK_S = 20.0


class Killed(BaseException):
    """Ends a thread of work wherever it is, as a process that dies."""


@dataclass(eq=False)
class Work:
    """One handler at work; it stands before its next call of the store."""

    run: Callable[[], object]
    killed: bool = False
    over: bool = False
    error: BaseException | None = None
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _halted: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._body, daemon=True)
        CURRENT[self._thread] = self
        self._thread.start()
        self._wait()

    def step(self, *, kill: bool = False) -> bool:
        """Let it make its next call, or die before it; False when it has ended."""
        if not self.over:
            self.killed = kill
            self._go.release()
            self._wait()
        return not self.over

    def finish(self) -> None:
        """Let it go to its end."""
        while self.step():
            pass

    def halt(self) -> None:
        """The thread itself stops here until it may go on."""
        self._halted.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def _wait(self) -> None:
        assert self._halted.acquire(timeout=STUCK_S), "a thread is stuck"

    def _body(self) -> None:
        try:
            self.run()
        except (SluiceError, AssertionError, Killed) as error:
            self.error = None if isinstance(error, Killed) else error
        finally:
            self.over = True
            CURRENT.pop(threading.current_thread(), None)
            self._halted.release()


CURRENT: dict[threading.Thread, Work] = {}


@dataclass(slots=True, kw_only=True)
class SteppedStore(WatchedStore):
    """Every call is one step of the work that makes it; others make theirs at once."""

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        halt()
        return WatchedStore.get(self, key, first=first, last=last, limit=limit)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        halt()
        return WatchedStore.list(self, prefix, after=after)

    def folders(self, parent: str) -> Iterator[str]:
        """See ObjectStore.folders."""
        halt()
        return WatchedStore.folders(self, parent)

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        halt()
        return WatchedStore.create(self, key, body, content_type=content_type, cache_control=cache_control)

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        halt()
        return WatchedStore.replace(self, key, body, etag=etag, content_type=content_type, cache_control=cache_control)


def halt() -> None:
    """Wait for one's turn; whoever is no work has it always."""
    work = CURRENT.get(threading.current_thread())
    if work:
        work.halt()
