"""What a function does at each ping: a round of every camera that has chunks, within its time."""

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sluice.errors import InvalidNameError, SluiceError
from sluice.names import CHUNKS, checked_camera
from sluice.store import ObjectStore

R = TypeVar("R")


def each_camera(
    visit: Callable[[str, float], R], *, store: ObjectStore, function: str, run_s: float, at_once: int, foreign: R
) -> list[R | None]:
    """Call *visit* with each camera and the run's deadline, in any order, so that none is always the last.

    None for a camera that failed, and for those that the time did not suffice for; *foreign* for what is no camera.
    """
    log = logging.getLogger(f"functions.{function}")
    deadline = time.monotonic() + run_s
    cameras = [each.removeprefix(CHUNKS).rstrip("/") for each in store.folders(CHUNKS)]
    random.shuffle(cameras)

    def one(camera: str) -> R | None:
        if time.monotonic() > deadline:
            return None
        try:
            return visit(checked_camera(camera), deadline)
        except InvalidNameError:
            return foreign  # somebody else's folder
        except SluiceError as error:
            log.warning("camera %s: %s", camera, error)
            return None

    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix=function) as pool:
        return list(pool.map(one, cameras))
