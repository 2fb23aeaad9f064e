"""What reads hundreds of objects has so many places, and the rest of the gateway goes on while they are taken."""

from dataclasses import replace

import pytest

from functions.gateway.app import gateway_app
from functions.gateway.places import Places
from sluice.settings import ServingSettings
from tests.builders import NOON_MS
from tests.recorded import record
from tests.viewers import Gateway, Viewer

QUERY = f"from={NOON_MS}&to={NOON_MS + 60_000}"
SEARCHES = (
    f"/vod/gate/index.m3u8?{QUERY}",
    f"/clip/gate.mp4?{QUERY}",
    f"/api/cameras/gate/timeline?{QUERY}",
    f"/api/events?{QUERY}",
    "/api/status",
)


@pytest.mark.parametrize("path", SEARCHES)
def test_more_searches_than_places_are_told_to_come_again(path: str) -> None:
    """One who asks for a day of everything, again and again, must not stop those who only look."""
    gateway, places = Gateway(), Places(1, "searches")
    record(gateway.store, chunks=1)
    gateway.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    app = gateway_app(replace(gateway.services, searches=places), ServingSettings(concurrency=80))
    viewer = Viewer(client=app.test_client(), secret=gateway.viewer().secret)

    with places:
        refused = viewer.ask(path)
        others = [viewer.ask(each).status_code for each in ("/hls/gate/index.m3u8", "/api/cameras")]
    answers = [viewer.ask(path).status_code for _ in range(3)]

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert others == [200, 200]
    assert answers == [200] * 3


def test_a_search_that_is_refused_or_fails_leaves_its_place() -> None:
    """Else so many of them would end all searches."""
    gateway, places = Gateway(), Places(1, "searches")
    app = gateway_app(replace(gateway.services, searches=places), ServingSettings(concurrency=80))
    viewer = Viewer(client=app.test_client(), secret=gateway.viewer().secret)

    statuses = [viewer.ask(SEARCHES[0]).status_code for _ in range(3)]
    gateway.store.down = True
    statuses += [viewer.ask(SEARCHES[0]).status_code for _ in range(3)]

    assert statuses == [404] * 3 + [503] * 3
    places.take()
