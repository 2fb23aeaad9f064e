"""`sluice republish`: the results of a time, published again to a NATS that lost them."""

import argparse
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.cli.times import ago

if TYPE_CHECKING:
    from sluice.refill import Tally

FUNCTION_TIMEOUT_S: Final = 120
"""A result may be recorded so long after it was published."""
CLOCKS: Final = timedelta(minutes=1)
"""By so much the store's clock may differ from ours."""
TOLD_S: Final = 5


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "republish",
        help="fill a wiped result stream again from the bucket",
        description="Publishes every result that was recorded since then and is not on the stream, under the id it "
        "had: subscribers that know ids see nothing twice. Once more after two minutes, for what was just being "
        "recorded.",
    )
    parser.add_argument("--since", type=ago, required=True, metavar="1h", help="results recorded since then")
    parser.add_argument("--camera", action="append", default=[], metavar="C", help="of this camera; may be given again")
    parser.add_argument("--once", action="store_true", help="not once more after two minutes")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Do it, and once more when no function that had begun before can still be at work."""
    from sluice.local.administrator import administrator
    from sluice.names import checked_camera
    from sluice.refill import refill

    cameras = [checked_camera(each) for each in options.camera]
    began = datetime.now(UTC)
    with administrator(options.state) as admin:
        first = refill(admin.store, admin.bus, since=began - options.since, cameras=cameras, told=_Progress())
        print(_sentence(first), flush=True)
        if options.once:
            return _status(first)
        print(f"looking again in {FUNCTION_TIMEOUT_S} s; Ctrl-C leaves out what was just being recorded", flush=True)
        time.sleep(FUNCTION_TIMEOUT_S)
        since = max(began - options.since, began - CLOCKS)
        again = refill(admin.store, admin.bus, since=since, cameras=cameras, told=_Progress())
        print(_sentence(again))
    return max(_status(first), _status(again))


def _status(tally: "Tally") -> int:
    return 1 if tally.unreadable or tally.refused else 0


class _Progress:
    """Says every few seconds how far it is."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, key: str, tally: "Tally") -> None:
        if time.monotonic() - self._told >= TOLD_S:
            self._told = time.monotonic()
            print(f"{_sentence(tally)}; at {key}", file=sys.stderr, flush=True)


def _sentence(tally: "Tally") -> str:
    unreadable = f", {tally.unreadable} unreadable" if tally.unreadable else ""
    refused = (
        f", {tally.refused} not taken: the stream was purged, and NATS remembers their ids for two hours; "
        f"delete the stream instead, the bridge makes it again"
        if tally.refused
        else ""
    )
    return f"{tally.looked_at} results: {tally.published} published, {tally.there} were there{unreadable}{refused}"
