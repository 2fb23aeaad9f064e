"""`python -m segmenter`: every camera of the bucket becomes chunks."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from segmenter import heap
from segmenter.fleet.supervisor import Supervisor
from segmenter.settings import SegmenterSettings
from sluice import telemetry
from sluice.bus import NatsBus
from sluice.errors import SettingsError
from sluice.settings import BusSettings, StoreSettings, load_all
from sluice.store import S3Store

log = logging.getLogger("segmenter")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the status is 1 when it cannot start."""
    argparse.ArgumentParser(
        prog="python -m segmenter",
        description=__doc__,
        epilog="It is told by environment variables: docs/settings.md. Cameras are added by `sluice camera add`.",
    ).parse_args(arguments)
    heap.share_one()
    telemetry.log_lines("segmenter")
    try:
        settings, store, bus = load_all(SegmenterSettings, StoreSettings, BusSettings)
        asyncio.run(_run(settings, store, bus))
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 (one sentence, not a stack)
        return 1
    return 0


async def _run(settings: SegmenterSettings, store: StoreSettings, bus: BusSettings) -> None:
    # Closing would wait for a NATS that hangs, and nothing is left to send: each event is acknowledged or given up.
    await Supervisor(settings, S3Store(store), NatsBus(bus, name="segmenter")).run()


if __name__ == "__main__":
    sys.exit(main())
