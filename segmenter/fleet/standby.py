"""Whether a camera that another segmenter took over may be taken back."""

import time
from collections.abc import Callable
from typing import Final

from segmenter.numbering import newest_end_ms
from sluice.errors import UnavailableError
from sluice.store import ObjectStore

SILENT_S: Final = 90.0
"""Three of the longest chunks: who has put none for so long records no more."""


class Standby:
    """Of one camera."""

    def __init__(
        self,
        store: ObjectStore,
        camera: str,
        *,
        silent_s: float = SILENT_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._camera, self._silent_s, self._now = store, camera, silent_s, now
        self._newest_ms: int | None = None
        self._since_s = 0.0

    def is_free(self) -> bool:
        """Whether no chunk has come for *silent_s* while we looked; raises UnavailableError."""
        try:
            newest_ms = newest_end_ms(self._store, self._camera)
        except UnavailableError:
            self._newest_ms = None  # who records has spooled meanwhile, and must have time to upload
            raise
        # Our own time: the names have another machine's, and are held back where that was set back.
        now_s = self._now()
        if newest_ms != self._newest_ms:
            self._since_s = now_s
        free = now_s - self._since_s >= self._silent_s
        self._newest_ms = None if free else newest_ms  # the next time begins anew
        return free
