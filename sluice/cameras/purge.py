"""Deleting all of a camera: as the one user who may delete."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from sluice.errors import UnavailableError
from sluice.names import checked_camera
from sluice.store import ObjectStore

BATCH: Final = 1000
"""Objects that are named to the store at once, and as many as S3 takes."""
POLL_S: Final = 1.0
QUIET_S: Final = 5.0
MAX_WAIT_S: Final = 120.0


def purge(
    store: ObjectStore,
    name: str,
    show: Callable[[str], None],
    *,
    quiet_s: float = QUIET_S,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Delete every object of the camera but its configuration; returns how many. Begun again, it goes on.

    Whoever recorded it may still write its last chunk, and a function an answer: so it looks again until nothing new
    came for *quiet_s*; raises UnavailableError when that never happens.
    """
    checked_camera(name)
    deleted = _sweep(store, name, show, 0)
    quiet = waited = 0.0
    while quiet < quiet_s:
        if waited >= MAX_WAIT_S + quiet_s:
            raise UnavailableError(f"the end of camera {name!r}", "it is still being recorded; purge it again later")
        sleep(POLL_S)
        waited += POLL_S
        late = _sweep(store, name, show, deleted)
        quiet = 0.0 if late else quiet + POLL_S
        deleted += late
    return deleted


def _sweep(store: ObjectStore, name: str, show: Callable[[str], None], before: int) -> int:
    count = 0
    found = _keys(store, name)
    while batch := list(islice(found, BATCH)):
        store.delete(batch)
        count += len(batch)
        show(f"{before + count} objects of {name} deleted")
    return count


def _keys(store: ObjectStore, name: str) -> Iterator[str]:
    """Chunks before their init segments, so that what is left is always playable; numbering goes last."""
    for folder in ("chunks/", "init/", "hls/", "index/"):
        yield from _under(store, f"{folder}{name}/")
    for folder in store.folders("results/"):
        yield from _under(store, f"{folder}{name}/")
    for folder in store.folders("state/"):
        key = f"{folder}{name}.json"
        yield from (each for each in _under(store, key) if each == key)


def _under(store: ObjectStore, prefix: str) -> Iterator[str]:
    return (each.key for each in store.list(prefix))
