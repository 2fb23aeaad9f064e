"""The gateway as it runs: its own rights at real servers, event streams that are open, viewers that stall."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sluice import cameras, events, names, tokens
from sluice.errors import ObjectNotFoundError, UnavailableError
from sluice.store import S3Store
from tests.builders import a_chunk_name, a_chunk_stored, an_inspection
from tests.services.gateway import RunningGateway, running_gateway
from tests.services.prepared import PreparedServers, both_lanes, servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

CHUNK = a_chunk_name()
BODY = bytes(range(256)) * 20_000
"""5 MB: longer than a window, and than what a socket holds."""
STREAM = "/api/events/stream"
STREAM_S = 6


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    with servers(minio_binary, tmp_path_factory.mktemp("servers"), lanes=both_lanes) as both:
        both.prepare()
        store = both.store("admin")
        store.put(CHUNK.key, BODY)
        store.put(CHUNK.init_key, b"ftypmoov")
        store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
        yield both


@pytest.fixture(scope="module")
def gateway(prepared: PreparedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(
        prepared,
        tmp_path_factory.mktemp("gateway"),
        SLUICE_GATEWAY_STREAM_S=str(STREAM_S),
        SLUICE_GATEWAY_HEARTBEAT_S="0.5",
        SLUICE_GATEWAY_STALL_S="1",
        SLUICE_GATEWAY_STREAMS="8",
        SLUICE_GATEWAY_DOWNLOADS="2",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def store(prepared: PreparedServers) -> S3Store:
    return prepared.store("admin")


@pytest.fixture(scope="module")
def secret(store: S3Store) -> str:
    return tokens.create(store, role=tokens.ADMIN)[0]


def eventually(what: str, holds: Callable[[], Any], *, within_s: float = 15) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)
    return found


def opened(gateway: RunningGateway, path: str, **headers: str) -> socket.socket:
    """A connection that has asked and read nothing."""
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    named = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{named}\r\n".encode())
    return connection


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(64).split(b" ")[1])


def test_what_is_stored_is_sent(gateway: RunningGateway, secret: str) -> None:
    """Whole, by range, and by its ETag not again: with the rights of the gateway's user."""
    path = f"/{CHUNK.key}"

    whole = gateway.ask(path, secret=secret)
    part = gateway.ask(path, secret=secret, Range="bytes=3000000-3000009")
    head = gateway.ask(path, secret=secret, method="HEAD")
    same = gateway.ask(path, secret=secret, If_None_Match=whole.headers["ETag"])
    playlist = gateway.ask("/hls/gate/index.m3u8", Authorization=f"Bearer {secret}")

    assert (whole.status, whole.body) == (200, BODY)
    assert (part.status, part.body) == (206, BODY[3_000_000:3_000_010])
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(BODY)), b"")
    assert (same.status, same.body) == (304, b"")
    assert (playlist.status, playlist.body) == (200, b"#EXTM3U\n")
    assert gateway.ask(f"/{CHUNK.init_key}", secret=secret).body == b"ftypmoov"
    assert gateway.ask("/hls/gate/live-4.m3u8", secret=secret).status == 404


def test_cameras_are_changed_with_the_gateways_own_rights(
    gateway: RunningGateway, prepared: PreparedServers, store: S3Store, secret: str
) -> None:
    """The object and its copy in NATS, both written and deleted."""
    sent = json.dumps({"name": "dock", "source": "test://"}).encode()

    made = gateway.ask("/api/cameras", secret=secret, method="POST", body=sent)
    changed = gateway.ask("/api/cameras/dock", secret=secret, method="PATCH", body=b'{"paused": true}')

    assert (made.status, changed.status) == (201, 200), made.body + changed.body
    assert json.loads(changed.body)["warning"] is None
    assert cameras.load(store, "dock").paused
    assert json.loads(gateway.ask("/api/status", secret=secret).body)["problems"] == {"store": "", "nats": ""}
    with prepared.bus("admin") as bus:
        copied = bus.bucket("sluice_cameras").get("dock")
        removed = gateway.ask("/api/cameras/dock", secret=secret, method="DELETE")
        assert copied is not None
        assert (removed.status, json.loads(removed.body)["warning"]) == (200, None)
        assert bus.bucket("sluice_cameras").get("dock") is None


def test_the_gateways_user_can_do_no_more(prepared: PreparedServers) -> None:
    """Whoever takes it over makes no video, no events and no tokens, and lists no tokens."""
    store = prepared.store("gateway")

    for attempt in (
        lambda: store.put(CHUNK.key, b"x"),
        lambda: store.delete([CHUNK.key]),
        lambda: store.put("tokens/x.json", b"x"),
        lambda: list(store.list("tokens/")),
        lambda: store.get("users/x.json"),
        lambda: store.get("state/segmenter/gate.json"),
    ):
        with pytest.raises(UnavailableError):
            attempt()
    with pytest.raises(ObjectNotFoundError):
        store.get(names.token_key("0" * 64))
    with prepared.bus("gateway") as bus, pytest.raises(UnavailableError):
        bus.publish("sluice.v1.detections.gate", b"x", message_id="x")


def test_events_come_from_the_bucket_and_from_the_stream(
    gateway: RunningGateway, prepared: PreparedServers, store: S3Store, secret: str
) -> None:
    """The one by time of the video, the other as it is published, from where the client was."""
    event = events.answer(a_chunk_stored(), an_inspection(a_chunk_stored().data.chunk), function="inspect")
    store.put(CHUNK.result_key("inspect"), events.to_structured(event))
    headers, payload = events.to_nats(event)
    with prepared.bus("admin") as bus:
        bus.publish("sluice.v1.health.gate", payload, message_id=event.id, headers=headers)

    found = gateway.ask(f"/api/events?from={CHUNK.start_ms}&to={CHUNK.end_ms}", secret=secret)
    streamed = gateway.ask(f"{STREAM}?camera=gate&kind=health", secret=secret, Last_Event_ID="0-results.0")

    assert [each["id"] for each in json.loads(found.body)["events"]] == [event.id]
    [line] = [line for line in streamed.body.decode().splitlines() if line.startswith("data: ")]
    assert json.loads(line.removeprefix("data: ")) == json.loads(events.to_structured(event))
    assert streamed.body.count(b": still here") >= 2


def test_while_every_stream_is_taken_everything_else_goes_on(gateway: RunningGateway, secret: str) -> None:
    """The ninth is told when to come again; playlists, the API and health are not kept waiting."""
    path = f"/t/{secret}{STREAM}"
    with ExitStack() as closing:
        held = [closing.enter_context(opened(gateway, path)) for _ in range(8)]
        assert [status_of(each) for each in held] == [200] * 8

        refused = gateway.ask(STREAM, secret=secret)
        began = time.monotonic()
        others = [gateway.ask(asked, secret=secret).status for asked in ("/hls/gate/index.m3u8", "/api/cameras")]
        health = gateway.ask("/health/readiness").status
        took_s = time.monotonic() - began

    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    assert (others, health) == ([200, 200], 204)
    assert took_s < STREAM_S / 2


def test_who_stops_reading_is_given_up(gateway: RunningGateway, secret: str) -> None:
    """Both places of downloads are held by viewers that read nothing; a second later they are free.

    Giving them up keeps nobody waiting.
    """
    path = f"/t/{secret}/{CHUNK.key}"
    held = [opened(gateway, path) for _ in range(2)]

    def both_are_taken() -> bool:
        if gateway.ask(f"/{CHUNK.key}", secret=secret).status == 503:
            return True
        held.extend(opened(gateway, path) for _ in range(2))  # on a busy machine the first were given up unseen
        return False

    try:
        eventually("both places are taken", both_are_taken)

        eventually("a place is free", lambda: gateway.ask(f"/{CHUNK.key}", secret=secret).status == 200, within_s=5)
        began = time.monotonic()
        assert gateway.ask("/health/readiness").status == 204
        assert time.monotonic() - began < 1
    finally:
        for each in held:
            each.close()


def test_the_gateway_outlives_its_servers(gateway: RunningGateway, prepared: PreparedServers, secret: str) -> None:
    """Both away: 503 and `later`; both back: as before."""
    prepared.minio.stop()
    prepared.nats.stop()
    away = gateway.ask("/hls/gate/live-6.m3u8", secret=secret)
    health = gateway.ask("/health/readiness").status
    prepared.nats.start()
    prepared.minio.start()

    assert away.status == 503
    assert away.headers["Retry-After"]
    assert health == 204
    eventually("playlists again", lambda: gateway.ask("/hls/gate/index.m3u8", secret=secret).status == 200)
    eventually(
        "everything again",
        lambda: json.loads(gateway.ask("/api/status", secret=secret).body)["problems"] == {"store": "", "nats": ""},
    )


def test_its_log_holds_no_token(gateway: RunningGateway, secret: str) -> None:
    """Neither those that were good, nor what the server makes of lines that are no HTTP."""
    for line in (
        f"GET /t/{secret}/hls HTTP/9.9",
        f"BAD\x01 /t/{secret}/hls HTTP/1.1",
        f"GET /t/{secret}/a b c HTTP/1.1",
    ):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            connection.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            connection.recv(1000)

    text = gateway.log.read_text()

    assert "connected to" in text
    assert secret not in text
