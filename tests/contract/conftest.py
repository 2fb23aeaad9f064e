"""What the bus's tests have in common: each runs on the fake and on NatsBus with a real server."""

from collections.abc import Iterator

import pytest

from sluice.bus import Bus, NatsBus
from sluice.testing.bus import MemoryBus
from tests.contract.scene import Scene


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    bus: Bus
    bus = MemoryBus() if request.param == "memory" else NatsBus(request.getfixturevalue("nats_server").settings())
    yield Scene.prepared(bus)
    bus.close()
