"""From the spool into the bucket: one camera's chunks in order, each under one name for ever."""

import random
import time
from collections.abc import Callable
from typing import Final

from segmenter.numbering import FencedError, check_fence, checkpoint, start_session
from segmenter.spool import Spool, Spooled
from sluice.errors import StoreError, UnavailableError
from sluice.names import ChunkName
from sluice.store import ObjectStore

CHECKPOINT_S: Final = 3600.0
WATCH_S: Final = 30.0
"""Until then two segmenters may record one camera: what the elder puts, readers ignore, but functions do look at it."""
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 15.0
_VIDEO: Final = "video/mp4"


class Uploader:
    """Has no thread: whoever owns it calls step() and waits as long as it says. One caller at a time."""

    def __init__(
        self,
        store: ObjectStore,
        spool: Spool,
        *,
        camera: str,
        stored: Callable[[ChunkName], None] = lambda _: None,
        watch_s: float = WATCH_S,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Tell *stored* of each chunk after the store has acknowledged it; *jitter* gives 0 to 1."""
        self.trouble: str | None = None
        """Why the last step failed; None when it did not."""
        self._store, self._spool, self._camera = store, spool, camera
        self._stored, self._clock, self._jitter, self._every_s = stored, clock, jitter, watch_s
        self._session: int | None = None
        self._run: str | None = None
        self._follows_ms: int | None = None  # where the chunk before ends; None when it is lost
        self._next_seq = self._floor_ms = 0
        self._opening = False
        self._init: tuple[int, str] | None = None  # session and hash of the init put last
        self._checkpoint_s: float | None = None  # when one is due; None when nothing was put since the last
        self._watch_s = 0.0  # when to look whether a newer session has begun
        self._failures = 0
        self._wake_s = float("-inf")

    def step(self) -> float | None:
        """Upload the oldest chunk; returns the seconds until the next step, None for: when there is another chunk.

        Raises FencedError once; the step after it begins a session, and with that fences the other side.
        """
        early_s = self._wake_s - self._clock()
        if early_s > 0:
            return early_s
        try:
            worked = self._upload()
            if self._checkpoint_s is not None and self._clock() >= self._checkpoint_s:
                self._checkpoint()
        except UnavailableError as error:
            return self._back_off(error)
        self._failures, self.trouble = 0, None
        if worked:
            return 0.0
        return None if self._checkpoint_s is None else max(0.0, self._checkpoint_s - self._clock())

    def end_session(self) -> None:
        """Record how far the session came, at the end of the run or process; raises UnavailableError, FencedError."""
        if self._session is not None:
            self._checkpoint()
            self._session = None

    def _upload(self) -> bool:
        spooled: Spooled | None = self._spool.oldest()
        if spooled is None:
            return False
        if spooled.name is None:
            spooled = self._named(spooled)
        if spooled is None or spooled.name is None:
            return True  # dropped meanwhile: its number is still free
        self._count(spooled.name)
        try:
            self._put(spooled, spooled.name)
        except StoreError:
            self._spool.refuse(spooled)  # no time mends it, and others wait behind it
            self._follows_ms = None
            return True
        self._spool.remove(spooled)
        self._stored(spooled.name)
        return True

    def _named(self, spooled: Spooled) -> Spooled | None:
        if self._session is not None and self._clock() >= self._watch_s:
            self._check_fence(self._session)
        # Media time is continuous within a session: it ends where a chunk was dropped.
        follows = spooled.cut.run == self._run and spooled.cut.start_ms == self._follows_ms
        if self._session is None or not follows:
            self.end_session()
            began = start_session(self._store, self._camera)
            self._watch_s = self._clock() + self._every_s
            self._session, self._run, self._opening = began.number, spooled.cut.run, True
            self._next_seq, self._floor_ms = began.next_seq, began.floor_ms
        name = spooled.cut.name(
            self._camera,
            session=self._session,
            seq=self._next_seq,
            floor_ms=self._floor_ms,
            opening=self._opening,
        )
        named = self._spool.give_name(spooled, name)
        self._follows_ms = spooled.cut.start_ms + spooled.cut.duration_ms if named else None
        return named

    def _count(self, name: ChunkName) -> None:
        """A name once given is taken, whatever becomes of its chunk; one that a dead process gave is its session's."""
        if name.session == self._session:
            self._next_seq = name.seq + 1
            self._opening = False
            if self._checkpoint_s is None:
                self._checkpoint_s = self._clock() + CHECKPOINT_S
        self._floor_ms = max(self._floor_ms, name.end_ms)

    def _put(self, spooled: Spooled, name: ChunkName) -> None:
        if self._init != (name.session, name.init):
            # A player that follows the chunk must find its init segment.
            self._store.put(name.init_key, spooled.cut.init, content_type=_VIDEO)
            self._init = (name.session, name.init)
        cut = spooled.cut
        self._store.put(name.key, cut.body, content_type=_VIDEO, metadata=cut.metadata)

    def _check_fence(self, session: int) -> None:
        try:
            check_fence(self._store, self._camera, session=session)
        except FencedError:
            self._session = self._checkpoint_s = None
            raise
        self._watch_s = self._clock() + self._every_s

    def _checkpoint(self) -> None:
        if self._session is None:
            return
        reached = {"session": self._session, "next_seq": self._next_seq, "floor_ms": self._floor_ms}
        try:
            checkpoint(self._store, self._camera, **reached)
        except FencedError:
            self._session = self._checkpoint_s = None
            raise
        self._checkpoint_s = None

    def _back_off(self, error: UnavailableError) -> float:
        self.trouble = str(error)
        longest_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * (1 << min(self._failures, 10)))
        self._failures += 1
        # Half of it is chance: the cameras of a process must not come back at once.
        wait_s = longest_s * (1 + self._jitter()) / 2
        self._wake_s = self._clock() + wait_s
        return wait_s
