"""detect that dies where FAULT says: the same handler, the real adapters, the saboteurs of `faulty` between them."""

from functools import partial

from flask import Flask

from functions.detect.handler import handle
from functions.detect.settings import DetectSettings
from sluice.contracts.chunk import ChunkStored
from sluice.inference import TritonDetector
from sluice.serving import function_app
from sluice.settings import BusSettings, DetectorSettings, ServingSettings, StoreSettings, load
from tests.data.functions.faulty import DyingBus, DyingStore


def create_app() -> Flask:
    """Wire it."""
    store, bus, detector = (
        DyingStore(load(StoreSettings)),
        DyingBus(load(BusSettings)),
        TritonDetector(load(DetectorSettings)),
    )
    work = partial(handle, store=store, bus=bus, detector=detector, settings=load(DetectSettings))
    return function_app(work, part="detect", accepts=ChunkStored, settings=load(ServingSettings), close=[bus.close])
