"""A picture of a camera: now, or of a time."""

import pytest

from tests.builders import NOON_MS
from tests.recorded import record
from tests.viewers import Gateway

PATH = "/snapshot/gate.jpg"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", "2026-11-21T12:00:06.000Z"),
        (f"?at={NOON_MS + 3999}", "2026-11-21T12:00:02.000Z"),
        ("?at=2026-11-21T12:00:04Z", "2026-11-21T12:00:04.000Z"),
    ],
)
def test_it_is_the_last_keyframe_until_then(query: str, shown: str) -> None:
    """And says of when it is."""
    gateway = Gateway()
    record(gateway.store, chunks=4)

    answer = gateway.viewer("gate").ask(f"{PATH}{query}")

    assert answer.status_code == 200
    assert answer.content_type == "image/jpeg"
    assert answer.data[:3] == b"\xff\xd8\xff"
    assert answer.headers["X-Sluice-Time"] == shown


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        (f"{PATH}?at={NOON_MS - 1}", 404, "nothing was recorded of gate at 2026-11-21T11:59:59.999Z"),
        (f"{PATH}?at=noon", 400, "at: expected a time"),
        ("/snapshot/yard.jpg", 404, "not for this token"),
        ("/snapshot/..%2fgate.jpg", 404, "not there"),
        ("/snapshot/GATE.jpg", 400, "camera id"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(path: str, status: int, reason: str) -> None:
    """By status and sentence."""
    gateway = Gateway()
    record(gateway.store, chunks=1)
    record(gateway.store, "yard", chunks=1)

    answer = gateway.viewer("gate").ask(path)

    assert answer.status_code == status
    assert reason in answer.get_data(as_text=True)


def test_a_camera_without_recordings_has_no_picture() -> None:
    """Yet."""
    assert Gateway().viewer("gate").ask(PATH).status_code == 404


def test_a_chunk_that_cannot_be_decoded_is_no_fault_of_ours() -> None:
    """422, with what was found."""
    gateway = Gateway()
    name = record(gateway.store, chunks=1)[0]
    gateway.store.put(name.key, b"noise")

    assert gateway.viewer("gate").ask(PATH).status_code == 422
