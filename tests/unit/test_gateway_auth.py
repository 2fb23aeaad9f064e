"""Nothing is open by default, a token opens its scope, and nobody reads a token in what the gateway says."""

import io
import json
import logging
from datetime import timedelta

import pytest

from functions.gateway.app import without_tokens
from functions.gateway.settings import GatewaySettings, checked
from sluice import telemetry
from sluice.errors import SettingsError
from sluice.settings import ServingSettings
from tests.viewers import Gateway

PLAYLIST = "/hls/gate/index.m3u8"


def broken() -> str:
    return {"a": "b"}["secret"]


@pytest.fixture
def gateway() -> Gateway:
    made = Gateway()
    made.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    made.store.put("hls/yard/index.m3u8", b"#EXTM3U\n")
    return made


def test_every_route_but_health_asks_for_a_token(gateway: Gateway) -> None:
    """Also those that come to be, and those that are not there."""
    client = gateway.app.test_client()
    rules = [rule for rule in gateway.app.url_map.iter_rules() if not rule.rule.startswith("/health/")]
    paths = [rule.rule.replace("<", "").replace(">", "") for rule in rules]

    answers = {path: client.get(path).status_code for path in (*paths, "/", "/nothing", "/t/", "/t/x", "/t/x/metrics")}

    assert len(paths) > 8
    assert set(answers.values()) == {401}
    assert client.get("/health/liveness").status_code == 204
    assert client.get("/health/readiness").status_code == 204


@pytest.mark.parametrize("in_path", [True, False])
def test_a_token_is_taken_from_the_path_or_the_header(gateway: Gateway, *, in_path: bool) -> None:
    """Both work everywhere."""
    viewer = gateway.viewer(in_path=in_path)

    assert viewer.ask(PLAYLIST).data == b"#EXTM3U\n"
    assert viewer.ask("/api/cameras").json == {"cameras": [], "problems": {}}


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer " + "x" * 43, "Bearer " + "x" * 9000])
def test_what_is_no_token_is_401(gateway: Gateway, shown: str) -> None:
    """With the way to show one."""
    answer = gateway.app.test_client().get(PLAYLIST, headers={"Authorization": shown})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json


def test_a_token_in_the_path_is_not_mended_by_one_in_the_header(gateway: Gateway) -> None:
    """Who was sent a link is who he is."""
    viewer = gateway.viewer()

    answer = gateway.app.test_client().get(f"/t/nobody{PLAYLIST}", headers={"Authorization": f"Bearer {viewer.secret}"})

    assert answer.status_code == 401


def test_an_expired_token_is_no_token(gateway: Gateway) -> None:
    """As one that never was."""
    expired = gateway.viewer(lifetime=timedelta(seconds=-1)).ask(PLAYLIST)

    assert (expired.status_code, expired.json) == (401, {"error": "no such token"})


@pytest.mark.parametrize(
    "path", ["/hls/{}/index.m3u8", "/hls/{}/live-4.m3u8", "/init/{}/0a1b2c3d.mp4", "/api/cameras/{}"]
)
def test_a_foreign_camera_is_told_from_an_unknown_one_by_nobody(gateway: Gateway, path: str) -> None:
    """Status, body and headers are the same."""
    viewer = gateway.viewer("gate")

    foreign, unknown = viewer.ask(path.format("yard")), viewer.ask(path.format("nobody"))

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.data == unknown.data
    assert dict(foreign.headers) == dict(unknown.headers)


def test_a_camera_of_the_scope_that_is_not_there_is_answered_like_a_foreign_one(gateway: Gateway) -> None:
    """So nobody learns by the difference which cameras there are."""
    viewer = gateway.viewer("gate", "empty")

    assert viewer.ask("/hls/empty/index.m3u8").data == viewer.ask("/hls/yard/index.m3u8").data


def test_the_log_and_the_metrics_hold_no_token(gateway: Gateway) -> None:
    """Neither of good requests nor of bad ones, nor of those that break."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(telemetry.JsonLines("gateway"))
    root = logging.getLogger()
    root.addHandler(handler)
    viewer = gateway.viewer(in_path=True)
    gateway.app.add_url_rule("/broken", view_func=broken)
    try:
        for path in (PLAYLIST, "/nothing", "/broken", "/hls/A%20B/index.m3u8", "/api/events?from=x"):
            viewer.ask(path)
        gateway.store.down = True
        viewer.ask(PLAYLIST)
        gateway.store.down = False
    finally:
        root.removeHandler(handler)

    assert "KeyError" in stream.getvalue()
    assert viewer.secret not in stream.getvalue()
    metrics = gateway.admin().ask("/metrics").text
    assert "sluice_requests_total" in metrics
    assert viewer.secret not in metrics


def test_metrics_are_of_all_cameras_and_so_are_their_readers(gateway: Gateway) -> None:
    """Not for viewers, nor for admins of some cameras."""
    readers = (gateway.viewer(), gateway.admin("gate"), gateway.admin())

    assert [reader.ask("/metrics").status_code for reader in readers] == [403, 403, 200]


def test_a_fault_of_ours_tells_the_viewer_nothing_but_where_to_look(gateway: Gateway) -> None:
    """The trace is in the log; the cause is not in the answer."""
    gateway.app.add_url_rule("/broken", view_func=broken)

    answer = gateway.viewer().ask("/broken")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert len(json.loads(answer.text)["trace"]) == 32


def test_what_the_server_says_of_a_request_that_it_cannot_read_is_redacted() -> None:
    """Gunicorn quotes the line."""
    record = logging.LogRecord("x", 30, "x", 1, "Invalid request: %s", ("GET /t/s3cr3t/hls/x HTTP/9",), None)

    assert without_tokens(record)
    assert record.getMessage() == "Invalid request: GET /t/***/hls/x HTTP/9"


def test_other_origins_read_only_where_the_setting_says_so() -> None:
    """A preflight carries no token, so it is answered without, and gives nothing away."""
    asked = {"Origin": "https://portal.example", "Access-Control-Request-Method": "GET"}
    shut, opened = (
        Gateway(),
        Gateway(settings=GatewaySettings(cors_origins="https://portal.example, https://x.example")),
    )

    refused = shut.app.test_client().options(PLAYLIST, headers=asked)
    allowed = opened.app.test_client().options(PLAYLIST, headers=asked)
    stranger = opened.app.test_client().options(PLAYLIST, headers={**asked, "Origin": "https://evil.example"})
    read = opened.viewer().ask("/api/cameras", headers={"Origin": "https://portal.example"})

    assert (refused.status_code, allowed.status_code, stranger.status_code) == (401, 204, 401)
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://portal.example"
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    assert read.headers["Access-Control-Allow-Origin"] == "https://portal.example"
    assert "Access-Control-Allow-Origin" not in stranger.headers
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_settings_that_leave_no_thread_for_playlists_are_refused() -> None:
    """Else streams and downloads could take them all."""
    with pytest.raises(SettingsError, match="SLUICE_CONCURRENCY: expected at least 80"):
        checked(GatewaySettings(), ServingSettings(concurrency=79))

    assert checked(GatewaySettings(), ServingSettings(concurrency=80))
