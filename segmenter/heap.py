"""How this process allocates, which glibc decides by the number of threads: each gets a heap of its own."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of malloc.h."""


def share_one() -> None:
    """One heap for all threads: a heap of its own keeps what its thread needed when it was busiest, 2 MiB a camera.

    Call it before there are threads. Another library of C than glibc knows no such setting, and needs none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
