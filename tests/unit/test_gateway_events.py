"""Events by time from the result objects, and as they come from the streams."""

import json
import threading
from typing import Any

import pytest

from functions.gateway import events as searched
from functions.gateway.settings import GatewaySettings
from sluice import events, names
from sluice.contracts.detection import DetectedObject, FrameObjects, ObjectsDetected
from sluice.contracts.envelope import Event
from sluice.testing.bus import MemoryBus
from tests.builders import NOON_MS, a_chunk_name, a_chunk_ref, a_chunk_stored, an_inspection
from tests.services.line import eventually
from tests.viewers import Gateway, Viewer

S = 1000
RANGE = f"from={NOON_MS}&to={NOON_MS + 3_600_000}"


def detected(camera: str, *labels: str, **chunk: Any) -> Event[ObjectsDetected]:
    ref = a_chunk_ref(camera, **chunk)
    found = tuple(DetectedObject(label=label, score=0.9, x0=0.1, y0=0.1, x1=0.2, y1=0.2) for label in labels)
    data = ObjectsDetected(
        chunk=ref,
        model="objects",
        model_version="1",
        frames=(FrameObjects(at=ref.start, offset_ms=0, objects=found),),
        wanted_fps=5,
        sampled_fps=5,
        keyframes_only=False,
        width=320,
        height=180,
    )
    return events.answer(a_chunk_stored(camera, **chunk), data, function="detect", model="objects")


def recorded(gateway: Gateway, event: Event[Any], function: str = "detect", model: str | None = "objects") -> None:
    key = names.parse_chunk_key(event.data.chunk.key).result_key(function, model)
    gateway.store.put(key, events.to_structured(event))


def published(bus: MemoryBus, event: Event[Any]) -> None:
    headers, payload = events.to_nats(event)
    subject = names.subject(event.data.KIND, event.data.chunk.camera)
    bus.publish(subject, payload, message_id=event.id, headers=headers)


def asked(viewer: Viewer, query: str) -> dict[str, Any]:
    answer = viewer.ask(f"/api/events?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text)
    return found


def ids(answer: dict[str, Any]) -> list[str]:
    return [event["id"] for event in answer["events"]]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_events_are_found_by_the_time_of_the_video(gateway: Gateway) -> None:
    """Of all cameras and functions, the oldest first; a chunk counts as soon as it reaches into the range."""
    made = [detected("gate", start_ms=NOON_MS + n * 2 * S, seq=n + 9) for n in range(-2, 4)]
    other = detected("yard", start_ms=NOON_MS + S)
    for event in (*made, other):
        recorded(gateway, event)

    found = asked(gateway.viewer(), f"from={NOON_MS - 1}&to={NOON_MS + 4 * S}")

    assert ids(found) == [event.id for event in (made[1], made[2], other, made[3])]
    assert found["next"] is None
    assert found["events"][0] == json.loads(events.to_structured(made[1]))


def test_an_hour_and_a_day_end_no_search(gateway: Gateway) -> None:
    """Keys of several folders are one range."""
    hour = 3_600_000
    made = [detected("gate", start_ms=NOON_MS + n * 6 * hour, seq=n + 1) for n in range(4)]
    for event in made:
        recorded(gateway, event)

    assert ids(asked(gateway.viewer(), f"from={NOON_MS}&to={NOON_MS + 48 * hour}")) == [event.id for event in made]


def test_a_search_is_narrowed_by_kind_and_label(gateway: Gateway) -> None:
    """A label is of detections."""
    person, car = detected("gate", "person"), detected("gate", "car", start_ms=NOON_MS + 2 * S, seq=2)
    cause = a_chunk_stored("gate")
    health = events.answer(cause, an_inspection(cause.data.chunk), function="inspect")
    recorded(gateway, person)
    recorded(gateway, car)
    recorded(gateway, health, "inspect", None)
    viewer = gateway.viewer()

    assert ids(asked(viewer, f"{RANGE}&kind=health")) == [health.id]
    assert ids(asked(viewer, f"{RANGE}&kind=detections")) == [person.id, car.id]
    assert ids(asked(viewer, f"{RANGE}&label=car")) == [car.id]
    assert ids(asked(viewer, f"{RANGE}&label=car&label=person")) == [person.id, car.id]
    assert len(ids(asked(viewer, RANGE))) == 3


def test_a_full_answer_says_where_the_next_begins(gateway: Gateway) -> None:
    """Page by page everything comes once, also where chunks begin at one time or reach into the next page."""
    made = [
        detected(f"cam{camera}", start_ms=NOON_MS + n * 2 * S + camera // 2 * S, seq=n + 1)
        for n in range(6)
        for camera in range(3)
    ]
    for event in made:
        recorded(gateway, event)
    viewer, cursor = gateway.viewer(), 0
    pages: list[list[str]] = []

    while cursor is not None and len(pages) < 20:
        answer = asked(viewer, f"{RANGE}&limit=4&cursor={cursor}")
        pages.append(ids(answer))
        cursor = answer["next"]

    assert [each for page in pages for each in page] == [event.id for event in made]
    assert len(pages) == 4


def test_one_answer_has_so_many_bytes_and_no_more(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that sees a hundred things in each frame must not fill the memory; `next` goes on."""
    made = [detected("gate", *["car"] * 50, start_ms=NOON_MS + n * 2 * S, seq=n + 1) for n in range(6)]
    for event in made:
        recorded(gateway, event)
    monkeypatch.setattr(searched, "MAX_ANSWER_BYTES", 2 * len(events.to_structured(made[0])) - 100)
    viewer = gateway.viewer()

    first = asked(viewer, RANGE)
    second = asked(viewer, f"{RANGE}&cursor={first['next']}")

    assert ids(first) == [event.id for event in made[:2]]
    assert ids(second) == [event.id for event in made[2:4]]


def test_one_answer_reads_so_many_objects_and_no_more(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that is nowhere ends in `next`, not in minutes."""
    monkeypatch.setattr(searched, "MAX_LOOKED_AT", 5)
    for n in range(8):
        recorded(gateway, detected("gate", "car", start_ms=NOON_MS + n * 2 * S, seq=n + 1))
    viewer = gateway.viewer()

    first = asked(viewer, f"{RANGE}&label=zebra")

    assert first == {"events": [], "next": NOON_MS + 10 * S}
    assert asked(viewer, f"{RANGE}&cursor={first['next']}&label=zebra") == {"events": [], "next": None}


def test_a_token_finds_events_of_its_cameras_only(gateway: Gateway) -> None:
    """A foreign camera that is asked for is not there."""
    mine, foreign = detected("gate"), detected("yard")
    recorded(gateway, mine)
    recorded(gateway, foreign)
    viewer = gateway.viewer("gate")

    assert ids(asked(viewer, RANGE)) == [mine.id]
    assert viewer.ask(f"/api/events?{RANGE}&camera=yard").status_code == 404
    assert len(ids(asked(gateway.viewer(), RANGE))) == 2


def test_what_is_no_result_is_left_out(gateway: Gateway) -> None:
    """Somebody else's objects, and events of a newer Sluice, break no search."""
    recorded(gateway, detected("gate"))
    folder = "results/detect-objects/gate/2026-11-21/12/"
    for n, body in enumerate((b"", b"[]", b'{"type": "x"}', b'{"type": ["x"]}', b"[" * 100_000)):
        key = a_chunk_name("gate", start_ms=NOON_MS + (n + 1) * 2 * S, seq=n + 2).result_key("detect", "objects")
        gateway.store.put(key, body)
    gateway.store.put(f"{folder}notes.json", b"x")
    gateway.store.put("results/readme.txt", b"x")

    assert len(ids(asked(gateway.viewer(), RANGE))) == 1


@pytest.mark.parametrize(
    "query",
    [
        "from=x",
        "from=2026-13-01",
        "to=-5",
        "from=99999999999999",
        "from=1969-01-01",
        "from=9999-12-31T23:59:59",
        f"from={NOON_MS}&to={NOON_MS}",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=" + "9" * 4000,
        "kind=chunks",
        "kind=x",
        "camera=A",
        "camera=",
        "&".join(f"camera=c{n}" for n in range(101)),
    ],
)
def test_a_query_out_of_bounds_is_the_askers_fault(gateway: Gateway, query: str) -> None:
    """With the reason."""
    answer = gateway.viewer().ask(f"/api/events?{query}")

    assert answer.status_code == 400
    assert answer.json
    assert answer.json["error"]


def follow(viewer: Viewer, query: str = "", **headers: str) -> list[dict[str, Any]]:
    """What comes until the stream ends, as data with its id."""
    answer = viewer.ask(f"/api/events/stream?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append({**json.loads(fields["data"]), "place": fields["id"]})
    return found


@pytest.fixture
def live() -> Gateway:
    return Gateway(settings=GatewaySettings(stream_s=0.6, heartbeat_s=0.1))


def published_when_followed(bus: MemoryBus, event: Event[Any]) -> None:
    eventually("somebody follows", lambda: any("follow-" in name for name in bus._consumers))
    published(bus, event)


def test_events_come_as_they_are_published(live: Gateway) -> None:
    """Not what was before, and the whole event."""
    published(live.bus, detected("gate", start_ms=NOON_MS - 2 * S))
    event = detected("gate", "person", seq=2)
    followed = threading.Thread(target=published_when_followed, args=(live.bus, event))
    followed.start()

    found = follow(live.viewer())

    followed.join()
    assert [each["id"] for each in found] == [event.id]
    assert found[0]["data"]["frames"][0]["objects"][0]["label"] == "person"


def test_a_client_goes_on_where_it_was(live: Gateway) -> None:
    """By header or, where none can be sent, by query; nothing is left out, nothing of one stream comes twice."""
    made = [detected("gate", start_ms=NOON_MS + n * 2 * S, seq=n + 1) for n in range(5)]
    for event in made:
        published(live.bus, event)
    viewer = live.viewer()
    all_of_them = follow(viewer, after="0-results.0", **{"Last-Event-ID": "0-results.0"})

    after_two = follow(viewer, **{"Last-Event-ID": all_of_them[1]["place"]})
    by_query = follow(viewer, query=f"after={all_of_them[1]['place']}")

    assert [each["id"] for each in all_of_them] == [event.id for event in made]
    assert [each["id"] for each in after_two] == [event.id for event in made[2:]]
    assert [each["id"] for each in by_query] == [event.id for event in made[2:]]


def test_a_wiped_stream_is_noticed(live: Gateway) -> None:
    """It counts from one again; the time in the id tells that these are new."""
    viewer = live.viewer()
    for n in range(3):
        published(live.bus, detected("gate", start_ms=NOON_MS + n * 2 * S, seq=n + 1))
    last = follow(viewer, **{"Last-Event-ID": "0-results.0"})[-1]["place"]
    live.bus.wipe()
    live.bus.__init__()  # type: ignore[misc]  # what the bridge does with a wiped server
    new = detected("gate", seq=9)
    published(live.bus, new)

    assert [each["id"] for each in follow(viewer, **{"Last-Event-ID": last})] == [new.id]


def test_a_stream_is_narrowed_to_the_scope_and_what_is_asked(live: Gateway) -> None:
    """Foreign events are not even fetched; a foreign camera is not there."""
    for camera in ("gate", "yard"):
        published(live.bus, detected(camera))
        published(live.bus, a_chunk_stored(camera))
    everything = {"Last-Event-ID": "0-results.0"}
    scoped, free = live.viewer("gate"), live.viewer()

    assert [each["subject"] for each in follow(scoped, **everything)] == ["gate"]
    assert {each["subject"] for each in follow(free, **everything)} == {"gate", "yard"}
    assert [each["subject"] for each in follow(free, "camera=yard", **everything)] == ["yard"]
    kinds = [each["type"] for each in follow(scoped, "kind=chunks&kind=detections", **everything)]
    assert sorted(kinds) == ["dev.sluice.chunk.stored.v1", "dev.sluice.objects.detected.v1"]
    assert scoped.ask("/api/events/stream?camera=yard").status_code == 404


def test_a_stream_shows_that_it_lives(live: Gateway) -> None:
    """Else a proxy would cut it off, and a dead client would keep its place."""
    assert live.viewer().ask("/api/events/stream").text.count(": still here") >= 2


def test_a_stream_outlives_nats(live: Gateway) -> None:
    """It waits; its client need not know."""
    live.bus.available = False

    answer = live.viewer().ask("/api/events/stream")

    assert answer.status_code == 200
    assert "retry: " in answer.text


@pytest.mark.parametrize("place", ["x", "1", "5-", "1-results.x", "1" * 40 + "-results.1", "1-results." + "1" * 40])
def test_an_id_that_is_none_of_ours_is_refused(live: Gateway, place: str) -> None:
    """It may be of another server."""
    assert live.viewer().ask("/api/events/stream", headers={"Last-Event-ID": place}).status_code == 400


def test_more_streams_than_places_are_told_to_come_again() -> None:
    """And everything else goes on; a closed stream leaves its place."""
    gateway = Gateway(settings=GatewaySettings(streams=2))
    gateway.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    viewer = gateway.viewer()
    held = [viewer.ask("/api/events/stream", buffered=False) for _ in range(2)]

    refused = [viewer.ask("/api/events/stream") for _ in range(50)]
    others = [viewer.ask(path).status_code for path in ("/hls/gate/index.m3u8", "/api/events", "/health/liveness")]
    head = viewer.ask("/api/events/stream", "HEAD")
    for each in held:
        each.close()

    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["Retry-After"] for answer in refused} == {"2"}
    assert others == [200, 200, 204]
    assert head.status_code == 200
    again = viewer.ask("/api/events/stream", buffered=False)
    again.close()
    assert again.status_code == 200
