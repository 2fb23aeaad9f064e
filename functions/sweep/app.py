"""Wire the sweeper: `python -m sluice.serving functions.sweep.app`; a ping is all that its POST means."""

from typing import Any

from functions.sweep.handler import sweep
from functions.sweep.promises import read_promises
from functions.sweep.rounds import FUNCTION
from functions.sweep.settings import SweepSettings
from sluice import serving
from sluice.bus import NatsBus
from sluice.settings import BusSettings, ServingSettings, StoreSettings, load_all
from sluice.store import S3Store


def create_app() -> Any:
    """The Flask app that gunicorn serves; nothing is connected before the first ping."""
    stored, messaged, served, mine = load_all(StoreSettings, BusSettings, ServingSettings, SweepSettings)
    read_promises(mine.triggers)  # a folder that is not there must be noticed now
    store, bus = S3Store(stored), NatsBus(messaged, name=FUNCTION)
    app = serving.part_app(FUNCTION, served, close=(bus.close, store.close))

    @app.post("/")
    def ping() -> tuple[str, int]:
        # Read anew: Triggers come and go while we run.
        sweep(read_promises(mine.triggers), store=store, bus=bus, bucket=stored.bucket)
        return "", 204

    return app
