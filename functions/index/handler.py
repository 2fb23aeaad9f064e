"""Every five minutes: each camera that has chunks, within the time that a run may take.

in    a ping
out   nothing; index/<camera>/<YYYY-MM-DD>/<HH>.json
"""

import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from functions.index.rounds import FUNCTION, Round, index_camera
from sluice import telemetry
from sluice.errors import InvalidNameError, SluiceError
from sluice.folders import folders
from sluice.names import CHUNKS, checked_camera
from sluice.store import ObjectStore

__all__ = ["FUNCTION", "index"]

RUN_S: Final = 45.0
"""What is left is done after the next ping."""
AT_ONCE: Final = 4

log = logging.getLogger(f"functions.{FUNCTION}")


def index(*, store: ObjectStore, run_s: float = RUN_S) -> int:
    """Look at every camera, in any order, so that none is always the last; returns how many indexes were written."""
    deadline = time.monotonic() + run_s
    cameras = [each.removeprefix(CHUNKS).rstrip("/") for each in folders(store, CHUNKS)]
    random.shuffle(cameras)

    def one(camera: str) -> Round | None:
        if time.monotonic() > deadline:
            return None
        try:
            return index_camera(checked_camera(camera), store=store, now_ms=_now_ms(), deadline=deadline)
        except InvalidNameError:
            return Round(written=0, whole=True)  # somebody else's folder
        except SluiceError as error:
            log.warning("camera %s: %s", camera, error)
            return None

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="index") as pool:
        rounds = list(pool.map(one, cameras))
    done = [each for each in rounds if each is not None]
    written = sum(each.written for each in done)
    telemetry.current().gauge("index_cameras", len(done))
    telemetry.current().gauge("index_left_out", len(rounds) - sum(each.whole for each in done))
    log.info("indexed", extra={"cameras": len(done), "left_out": len(rounds) - len(done), "written": written})
    return written


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
