"""Every five minutes: each camera that has chunks, within the time that a run may take.

in    a ping
out   nothing; index/<camera>/<YYYY-MM-DD>/<HH>.json
"""

import logging
import time
from typing import Final

from functions.index.rounds import FUNCTION, Round, index_camera
from sluice import telemetry
from sluice.rounds import each_camera
from sluice.store import ObjectStore

__all__ = ["FUNCTION", "index"]

RUN_S: Final = 45.0
"""What is left is done after the next ping."""
AT_ONCE: Final = 4

log = logging.getLogger(f"functions.{FUNCTION}")


def index(*, store: ObjectStore, run_s: float = RUN_S) -> int:
    """Look at every camera, in any order, so that none is always the last; returns how many indexes were written."""

    def one(camera: str, deadline: float) -> Round:
        return index_camera(camera, store=store, now_ms=time.time_ns() // 1_000_000, deadline=deadline)

    nothing = Round(written=0, whole=True)
    rounds = each_camera(one, store=store, function=FUNCTION, run_s=run_s, at_once=AT_ONCE, foreign=nothing)
    done = [each for each in rounds if each is not None]
    written = sum(each.written for each in done)
    telemetry.current().gauge("index_cameras", len(done))
    telemetry.current().gauge("index_left_out", len(rounds) - sum(each.whole for each in done))
    log.info("indexed", extra={"cameras": len(done), "left_out": len(rounds) - len(done), "written": written})
    return written
