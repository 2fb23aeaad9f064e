"""Cameras over the API: field by field, within the scope, and without passwords and keys."""

import json
from typing import Any

import pytest

from sluice import cameras
from sluice.testing.bus import MemoryBus
from sluice.topology import CAMERAS
from tests.viewers import Gateway, Viewer

SOURCE = "rtsp://admin:s3cret@10.0.0.7/1"


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def added(admin: Viewer, **fields: Any) -> dict[str, Any]:
    answer = admin.ask("/api/cameras", "POST", json={"name": "gate", "source": SOURCE, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def test_a_camera_is_added_for_everybody_who_looks(gateway: Gateway) -> None:
    """The object first, then the copy that the segmenter watches."""
    answer = added(gateway.admin(), functions={"detect": [{"model": "faces", "fps": 2}]})

    assert answer["warning"] is None
    camera = cameras.load(gateway.store, "gate")
    assert camera.source == SOURCE
    assert camera.functions["detect"][0].model == "faces"
    copied = gateway.bus.bucket(CAMERAS.name).get("gate")
    assert copied is not None
    assert copied.value == gateway.store.get("cameras/gate.json").body


def test_no_answer_holds_a_password_or_a_key(gateway: Gateway) -> None:
    """An admin's neither: links travel."""
    admin = gateway.admin()
    added(admin)
    made = admin.ask("/api/cameras", "POST", json={"name": "phone", "push": "new"}).json
    assert made is not None

    texts = [admin.ask(path).text for path in ("/api/cameras", "/api/cameras/gate", "/api/cameras/phone")]

    assert cameras.key_fits(cameras.load(gateway.store, "phone"), made["push_key"])
    for text in texts:
        assert "s3cret" not in text
        assert made["push_key"] not in text
        assert cameras.hashed_key(made["push_key"]) not in text
    assert json.loads(texts[1])["source"] == "rtsp://admin:***@10.0.0.7/1"
    assert json.loads(texts[2])["push"] is True


def test_what_is_wrong_is_told_field_by_field(gateway: Gateway) -> None:
    """All of it at once, as a form needs it."""
    answer = gateway.admin().ask("/api/cameras", "POST", json={"name": "G", "target_s": 99, "colour": "red"})

    assert answer.status_code == 422
    assert answer.json is not None
    assert {problem["field"] for problem in answer.json["problems"]} == {"name", "target_s", "colour", "source"}
    assert all(set(problem) == {"field", "expected", "found"} for problem in answer.json["problems"])


@pytest.mark.parametrize("sent", [b"", b"x", b"[]", b"7", b"[" * 100_000, b"\xff", b'{"name": "\\ud800"}'])
def test_a_body_that_is_no_camera_is_the_senders_fault(gateway: Gateway, sent: bytes) -> None:
    """With the reason as JSON."""
    answer = gateway.admin().ask("/api/cameras", "POST", data=sent)

    assert answer.status_code in (400, 422)
    assert answer.json
    assert answer.json["error"]


def test_a_body_without_end_is_refused(gateway: Gateway) -> None:
    """Before it fills memory."""
    answer = gateway.admin().ask("/api/cameras", "POST", data=b" " * 2_000_000)

    assert answer.status_code == 413


def test_a_camera_is_added_once(gateway: Gateway) -> None:
    """The second is told, and changes nothing."""
    admin = gateway.admin()
    added(admin)

    again = admin.ask("/api/cameras", "POST", json={"name": "gate", "source": "test://"})

    assert again.status_code == 409
    assert cameras.load(gateway.store, "gate").source == SOURCE


def test_a_change_leaves_the_rest(gateway: Gateway) -> None:
    """PATCH; the password, which was never shown, stays."""
    admin = gateway.admin()
    added(admin, target_s=4)

    answer = admin.ask("/api/cameras/gate", "PATCH", json={"paused": True})

    camera = cameras.load(gateway.store, "gate")
    assert answer.status_code == 200
    assert (camera.paused, camera.target_s, camera.source) == (True, 4.0, SOURCE)


def test_what_was_read_can_be_written_back(gateway: Gateway) -> None:
    """PUT of what GET gave: redacted as it is, it loses neither password nor push key."""
    admin = gateway.admin()
    added(admin)
    admin.ask("/api/cameras", "POST", json={"name": "phone", "push": "new"})
    before = [gateway.store.get(f"cameras/{name}.json").body for name in ("gate", "phone")]

    answers = [
        admin.ask(f"/api/cameras/{name}", "PUT", json=admin.ask(f"/api/cameras/{name}").json)
        for name in ("gate", "phone")
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [gateway.store.get(f"cameras/{name}.json").body for name in ("gate", "phone")] == before


def test_a_replacement_gives_what_it_leaves_out_its_default(gateway: Gateway) -> None:
    """PUT is the whole camera."""
    admin = gateway.admin()
    added(admin, target_s=4, paused=True)

    admin.ask("/api/cameras/gate", "PUT", json={"source": "test://?fps=5"})

    assert cameras.load(gateway.store, "gate") == cameras.parse({"name": "gate", "source": "test://?fps=5"})


def test_a_camera_can_begin_to_push_and_to_be_pulled(gateway: Gateway) -> None:
    """One way in takes the place of the other."""
    admin = gateway.admin()
    added(admin)

    pushing = admin.ask("/api/cameras/gate", "PATCH", json={"push": "new"})
    pushes = cameras.load(gateway.store, "gate")
    pulled = admin.ask("/api/cameras/gate", "PATCH", json={"source": SOURCE})

    assert pushing.json is not None
    assert cameras.key_fits(pushes, pushing.json["push_key"])
    assert pushes.source == ""
    assert pulled.status_code == 200
    assert cameras.load(gateway.store, "gate").push_key == ""


@pytest.mark.parametrize("sent", [{"name": "other"}, {"push": True}, {"target_s": None}, {"functions": 7}])
def test_a_change_that_cannot_be_is_refused(gateway: Gateway, sent: dict[str, Any]) -> None:
    """And changes nothing."""
    admin = gateway.admin()
    added(admin)
    before = gateway.store.get("cameras/gate.json")

    answer = admin.ask("/api/cameras/gate", "PATCH", json=sent)

    assert answer.status_code == 422
    assert gateway.store.get("cameras/gate.json") == before


def test_a_removed_camera_is_gone_and_its_recordings_are_not(gateway: Gateway) -> None:
    """Deleting those is somebody else's right."""
    admin = gateway.admin()
    added(admin)
    gateway.store.put("chunks/gate/x", b"video")

    first, second = admin.ask("/api/cameras/gate", "DELETE"), admin.ask("/api/cameras/gate", "DELETE")

    assert (first.status_code, second.status_code) == (200, 404)
    assert [each.key for each in gateway.store.list("c")] == ["chunks/gate/x"]


def test_a_camera_that_cannot_be_read_is_told_and_can_be_removed(gateway: Gateway) -> None:
    """Somebody wrote it by hand."""
    gateway.store.put("cameras/gate.json", b'{"name": "gate", "source": 7}')
    admin = gateway.admin()

    listed, shown = admin.ask("/api/cameras").json, admin.ask("/api/cameras/gate")

    assert listed is not None
    assert set(listed["problems"]) == {"gate"}
    assert shown.status_code == 422
    assert admin.ask("/api/cameras/gate", "DELETE").status_code == 200


def test_a_copy_that_could_not_be_written_is_a_warning(gateway: Gateway) -> None:
    """The bucket has it; the segmenter finds it within a minute."""
    gateway.bus.available = False

    assert "within a minute" in added(gateway.admin())["warning"]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/cameras"), *((m, "/api/cameras/gate") for m in ("PUT", "PATCH", "DELETE"))]
)
def test_a_viewer_changes_nothing(gateway: Gateway, method: str, path: str) -> None:
    """403, with the reason."""
    added(gateway.admin())
    before = gateway.store.get("cameras/gate.json")

    answer = gateway.viewer().ask(path, method, json={"name": "gate", "source": "test://"})

    assert answer.status_code == 403
    assert gateway.store.get("cameras/gate.json") == before


def test_an_admin_of_some_cameras_changes_those(gateway: Gateway) -> None:
    """A foreign one is not there for him: neither seen, nor made, nor changed."""
    added(gateway.admin())
    mine = gateway.admin("yard")

    made = mine.ask("/api/cameras", "POST", json={"name": "yard", "source": "test://"})
    foreign = [
        mine.ask("/api/cameras", "POST", json={"name": "dock", "source": "test://"}),
        mine.ask("/api/cameras/gate", "PATCH", json={"paused": True}),
        mine.ask("/api/cameras/gate", "DELETE"),
        mine.ask("/api/cameras/gate"),
    ]
    listed = mine.ask("/api/cameras").json

    assert made.status_code == 201
    assert {answer.status_code for answer in foreign} == {404}
    assert len({answer.data for answer in foreign}) == 1
    assert listed is not None
    assert [camera["name"] for camera in listed["cameras"]] == ["yard"]


def test_the_status_says_what_answers_and_who_asks(gateway: Gateway) -> None:
    """Also when the bucket or NATS does not."""
    added(gateway.admin())
    viewer = gateway.viewer("gate")

    well = viewer.ask("/api/status").json
    gateway.bus.available, gateway.store.down = False, True
    ill = viewer.ask("/api/status").json

    assert well is not None
    assert ill is not None
    assert well["problems"] == {"store": "", "nats": ""}
    assert well["cameras"] == [{"name": "gate", "paused": False, "recorded_until_ms": None}]
    assert (well["token"]["role"], well["token"]["cameras"]) == ("viewer", ["gate"])
    assert ill["problems"] == {"store": "does not answer", "nats": "does not answer"}
    assert isinstance(gateway.bus, MemoryBus)
