"""`sluice republish` on the running line: NATS loses its results, and has them again."""

import asyncio

import pytest

from sluice import cameras
from sluice.contracts.camera import Camera
from sluice.topology import RESULTS
from tests.services.line import Line, eventually

pytestmark = pytest.mark.line

CAMERA = "lobby"


async def lose_results(line: Line) -> None:
    """As a server whose disk was emptied."""
    import nats

    from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, load_or_create

    admin = load_or_create(line.state / "secrets").part("admin")
    client = await nats.connect(
        line.runtime()["endpoints"]["nats"], user=admin[NATS_USER], password=admin[NATS_PASSWORD]
    )
    try:
        await client.jetstream().delete_stream(RESULTS.name)
    finally:
        await client.close()


def test_a_lost_stream_is_filled_again_once(line: Line) -> None:
    """Under the ids that the messages had, and however often it is asked for."""
    bus = line.bus()
    cameras.create(line.store(), bus, Camera(name=CAMERA, source="test://?size=320x180&fps=10&gop=10", functions={}))
    bus.close()
    eventually("the camera's first chunk is inspected", lambda: line.results(CAMERA))
    eventually("nothing is under way", line.is_quiet)
    before = line.messages("health", CAMERA)
    asyncio.run(lose_results(line))

    first = line.run("republish", "--since", "1h", "--once", "--camera", CAMERA)
    again = line.run("republish", "--since", "1h", "--once", "--camera", CAMERA)

    assert first == "1 results: 1 published, 0 were there\n"
    assert again == "1 results: 0 published, 1 were there\n"
    assert line.messages("health", CAMERA) == before
    assert len(before) == 1
    assert " chunk.inspected " in line.run("events", "--since", "1h", "--no-follow", "--camera", CAMERA)


def test_the_picture_of_the_line(line: Line) -> None:
    """`sluice top` knows its cameras and functions."""
    eventually("the camera is seen", lambda: f"\n{CAMERA} " in line.run("top", "--once"))

    shown = line.run("top", "--once")

    assert [word for word in ("inspect", "LATENCY", "events under way") if word not in shown] == []
    assert "not known" not in shown
