"""Wire detect: `python -m sluice.serving functions.detect.app`."""

from functools import partial
from typing import Any

from functions.detect.handler import FUNCTION, handle
from functions.detect.settings import DetectSettings
from sluice import serving
from sluice.bus import NatsBus
from sluice.contracts.chunk import ChunkStored
from sluice.inference import TritonDetector
from sluice.settings import BusSettings, DetectorSettings, ServingSettings, StoreSettings, load_all
from sluice.store import S3Store


def create_app() -> Any:
    """The Flask app that gunicorn serves; nothing is connected before the first event."""
    stored, messaged, detected, served, mine = load_all(
        StoreSettings, BusSettings, DetectorSettings, ServingSettings, DetectSettings
    )
    store, bus, detector = S3Store(stored), NatsBus(messaged, name=FUNCTION), TritonDetector(detected)
    work = partial(handle, store=store, bus=bus, detector=detector, settings=mine)
    return serving.function_app(
        work,
        part=FUNCTION,
        accepts=ChunkStored,
        settings=served,
        close=(bus.close, store.close, detector.close),
    )
