"""Wire package: `python -m sluice.serving functions.package.app`."""

from functools import partial
from typing import Any

from functions.package.handler import FUNCTION, handle
from sluice import serving
from sluice.bus import NatsBus
from sluice.contracts.chunk import ChunkStored
from sluice.settings import BusSettings, ServingSettings, StoreSettings, load_all
from sluice.store import S3Store


def create_app() -> Any:
    """The Flask app that gunicorn serves; nothing is connected before the first event."""
    stored, messaged, served = load_all(StoreSettings, BusSettings, ServingSettings)
    store, bus = S3Store(stored), NatsBus(messaged, name=FUNCTION)
    work = partial(handle, store=store, bus=bus)
    return serving.function_app(
        work, part=FUNCTION, accepts=ChunkStored, settings=served, close=(bus.close, store.close)
    )
