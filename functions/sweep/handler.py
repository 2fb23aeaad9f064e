"""Once a minute: every camera that has chunks, within the time that a run may take.

in    a ping
out   nothing; chunk.stored, with a higher attempt, goes to the bridge
"""

import logging
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from functions.sweep.promises import Promise
from functions.sweep.rounds import FUNCTION, Round, sweep_camera
from sluice import telemetry
from sluice.bus import Bus
from sluice.errors import InvalidNameError, SluiceError
from sluice.folders import folders
from sluice.names import CHUNKS, checked_camera
from sluice.store import ObjectStore

RUN_S: Final = 45.0
"""The next ping comes after a minute."""
AT_ONCE: Final = 8

log = logging.getLogger(f"functions.{FUNCTION}")


def sweep(promises: Sequence[Promise], *, store: ObjectStore, bus: Bus, bucket: str, run_s: float = RUN_S) -> int:
    """Look at every camera, in any order, so that none is always the last; returns how many chunks were announced."""
    deadline = time.monotonic() + run_s
    cameras = [each.removeprefix(CHUNKS).rstrip("/") for each in folders(store, CHUNKS)]
    random.shuffle(cameras)

    def one(camera: str) -> Round | None:
        if time.monotonic() > deadline:
            return None
        try:
            name = checked_camera(camera)
            return sweep_camera(name, promises, store=store, bus=bus, bucket=bucket, now_ms=_now_ms())
        except InvalidNameError:
            return Round(looked_at=0, announced=0)  # somebody else's folder
        except SluiceError as error:
            log.warning("camera %s: %s", camera, error)
            return None

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="sweep") as pool:
        rounds = list(pool.map(one, cameras))
    done = [each for each in rounds if each is not None]
    announced = sum(each.announced for each in done)
    telemetry.current().gauge("sweep_cameras", len(done))
    telemetry.current().gauge("sweep_left_out", len(rounds) - len(done))
    log.info("swept", extra={"cameras": len(done), "left_out": len(rounds) - len(done), "announced": announced})
    return announced


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
