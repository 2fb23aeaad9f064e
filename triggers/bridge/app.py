"""The bridge: the bucket's announcements become events, events reach the Broker, dead letters are kept.

in    SLUICE_INTAKE: announcements in S3's form, chunk.stored events of the sweeper; POST /webhook
out   SLUICE_CHUNKS, and from there each event to K_SINK; POST /deadletter to SLUICE_DEADLETTERS
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from flask import Flask

from sluice import telemetry
from sluice.bus import Bus, NatsBus
from sluice.serving import part_app
from sluice.settings import BusSettings, ServingSettings, load_all
from sluice.topology import CHUNKS_BRIDGE, INTAKE_BRIDGE
from triggers.bridge import intake, outgoing, routes
from triggers.bridge.keeper import Keeper
from triggers.bridge.pump import Pump
from triggers.bridge.settings import BridgeSettings
from triggers.bridge.sink import Sink

PART: Final = "bridge"


def create_app() -> Flask:
    """Wire the bridge and start its loops: gunicorn calls this in the process that serves."""
    settings, bus, serving = load_all(BridgeSettings, BusSettings, ServingSettings)
    return bridge_app(settings, serving, bus=NatsBus(bus, name=PART))


def bridge_app(settings: BridgeSettings, serving: ServingSettings, *, bus: Bus) -> Flask:
    """The bridge on any bus, at work."""
    sink = Sink(settings.sink, certificates=settings.sink_certificates, timeout_s=settings.post_timeout_s)
    keeper = Keeper(bus)
    pump = partial(Pump, bus=bus, workers=settings.workers, missed=keeper.look)
    inward = pump("in", partial(intake.take, bus=bus, bucket=settings.bucket), consumer=INTAKE_BRIDGE)
    outward = pump("out", partial(outgoing.carry, sink=sink, bus=bus), consumer=CHUNKS_BRIDGE)
    loops = (keeper, inward, outward)
    closers: tuple[Callable[[], None], ...] = (inward.stop, outward.stop, keeper.stop, sink.close, bus.close)
    app = part_app(PART, serving, ready=partial(_trouble, keeper, inward, outward), close=closers)
    telemetry.current().count("bridge_dead_letters", 0)  # the first is an increase only if there was a number before
    routes.add(app, bus=bus, token=settings.webhook_token)
    for loop in loops:
        loop.start()
    return app


def _trouble(keeper: Keeper, *pumps: Pump) -> str | None:
    """Why it does not work as it should; None when it does."""
    dead = [pump.name for pump in pumps if not pump.alive] + ([] if keeper.alive else ["keeper"])
    return f"not running: {', '.join(dead)}" if dead else keeper.trouble
