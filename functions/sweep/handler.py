"""Once a minute: every camera that has chunks, within the time that a run may take.

in    a ping
out   nothing; chunk.stored, with a higher attempt, goes to the bridge
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

from functions.sweep.promises import Promise
from functions.sweep.rounds import FUNCTION, Round, sweep_camera
from sluice import telemetry
from sluice.bus import Bus
from sluice.rounds import each_camera
from sluice.store import ObjectStore

RUN_S: Final = 45.0
"""The next ping comes after a minute."""
AT_ONCE: Final = 8

log = logging.getLogger(f"functions.{FUNCTION}")


def sweep(promises: Sequence[Promise], *, store: ObjectStore, bus: Bus, bucket: str, run_s: float = RUN_S) -> int:
    """Look at every camera, in any order, so that none is always the last; returns how many chunks were announced."""

    def one(camera: str, _deadline: float) -> Round:
        now_ms = time.time_ns() // 1_000_000
        return sweep_camera(camera, promises, store=store, bus=bus, bucket=bucket, now_ms=now_ms)

    nothing = Round(looked_at=0, announced=0)
    rounds = each_camera(one, store=store, function=FUNCTION, run_s=run_s, at_once=AT_ONCE, foreign=nothing)
    done = [each for each in rounds if each is not None]
    announced = sum(each.announced for each in done)
    telemetry.current().gauge("sweep_cameras", len(done))
    telemetry.current().gauge("sweep_left_out", len(rounds) - len(done))
    log.info("swept", extra={"cameras": len(done), "left_out": len(rounds) - len(done), "announced": announced})
    return announced
