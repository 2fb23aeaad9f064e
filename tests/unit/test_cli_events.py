"""`sluice events`: which events are shown, in which order, and how."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from sluice import events, names
from sluice.bus import Message
from sluice.contracts.envelope import Event
from sluice.errors import UnavailableError
from sluice.following import follow
from sluice.selection import kinds, streams_of
from sluice.testing.bus import MemoryBus
from sluice.topology import CHUNKS, RESULTS
from tests.desk import Desk

GOLDENS = Path(__file__).parent.parent / "data" / "events"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def golden(name: str) -> Event[Any]:
    body = (GOLDENS / f"{name}.v1.json").read_bytes()
    return events.from_structured(body, events.CONTRACTS[f"dev.sluice.{name}.v1"])


def put(bus: MemoryBus, name: str, *, message_id: str | None = None) -> Event[Any]:
    """Publish the golden event as its part does."""
    event = golden(name)
    headers, payload = events.to_nats(event)
    subject = names.subject(event.data.KIND, event.subject)
    bus.publish(subject, payload, message_id=message_id or event.id, headers=headers)
    return event


def until_idle(flow: Iterator[Message | None]) -> list[str]:
    """The subjects that come before there is no more."""
    return [each.subject for each in iter(lambda: next(flow), None)]


class TestChoosing:
    """A command asks the server for no more than it shows."""

    def test_every_kind_can_be_followed(self) -> None:
        """The kinds are those of both streams."""
        assert {"chunks", "cameras", "detections", "health", "rejected"} <= set(kinds())

    @pytest.mark.parametrize(
        ("wanted", "cameras", "found"),
        [
            pytest.param([], [], {RESULTS: (), CHUNKS: ()}, id="everything"),
            pytest.param(["health"], [], {RESULTS: ("sluice.v1.health.*",)}, id="a kind"),
            pytest.param([], ["gate"], {RESULTS: ("sluice.v1.*.gate",), CHUNKS: ("sluice.v1.*.gate",)}, id="a camera"),
            pytest.param(
                ["chunks", "health"],
                ["gate", "yard"],
                {
                    RESULTS: ("sluice.v1.health.gate", "sluice.v1.health.yard"),
                    CHUNKS: ("sluice.v1.chunks.gate", "sluice.v1.chunks.yard"),
                },
                id="several of both",
            ),
        ],
    )
    def test_only_what_is_wanted_is_asked_for(self, wanted: list[str], cameras: list[str], found: Any) -> None:
        """A stream that holds nothing of it is left alone."""
        assert streams_of(wanted, cameras) == found


class TestFollowing:
    """Both streams are one flow."""

    def test_both_streams_are_merged_by_time(self) -> None:
        """As the server took them, not stream by stream."""
        bus = MemoryBus()
        for name in ("chunk.stored", "chunk.inspected", "camera.online", "input.rejected"):
            put(bus, name)

        flow = follow(bus, streams_of([], []), since=LONG_AGO)

        kinds_seen = [subject.split(".")[2] for subject in until_idle(flow)]
        assert kinds_seen == ["chunks", "health", "cameras", "rejected"]

    def test_it_begins_at_the_time_it_is_told(self) -> None:
        """What is older is not shown."""
        bus = MemoryBus()
        put(bus, "chunk.stored")
        began = datetime.now(UTC)
        put(bus, "chunk.inspected")

        assert until_idle(follow(bus, streams_of([], []), since=began)) == ["sluice.v1.health.gate"]

    def test_what_comes_later_is_shown_once(self) -> None:
        """After the moment without more it goes on."""
        bus = MemoryBus()
        flow = follow(bus, streams_of([], []), since=LONG_AGO)
        put(bus, "chunk.stored")
        first = until_idle(flow)
        put(bus, "chunk.inspected")

        assert (first, until_idle(flow)) == (["sluice.v1.chunks.gate"], ["sluice.v1.health.gate"])

    def test_a_wiped_server_is_followed_again_where_it_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its trouble is told, and nothing is shown twice, though it counts from one again."""
        monkeypatch.setattr("sluice.following.AGAIN_S", 0)
        bus, told = MemoryBus(), list[UnavailableError]()
        flow = follow(bus, streams_of(["health", "rejected"], []), since=LONG_AGO, lost=told.append)
        put(bus, "chunk.inspected")
        put(bus, "input.rejected")
        until_idle(flow)

        bus.wipe()
        assert next(flow) is None
        assert next(flow) is None
        put(bus, "chunk.inspected")

        assert [each and each.subject for each in islice(flow, 2)] == ["sluice.v1.health.gate", None]
        assert len(told) == 1

    def test_a_server_that_is_down_is_an_error_unless_somebody_is_told(self) -> None:
        """A script must not wait for ever."""
        bus = MemoryBus()
        bus.available = False

        with pytest.raises(UnavailableError):
            next(follow(bus, streams_of([], []), since=LONG_AGO))


class TestShowing:
    """A line an event, for people or for programs."""

    def test_a_line_says_when_which_camera_and_what(self, sluice: Desk) -> None:
        """Oldest first."""
        put(sluice.bus, "camera.online")
        put(sluice.bus, "input.rejected")

        online, rejected = sluice("events", "--no-follow").splitlines()

        assert " gate       camera.online " in online
        assert " input.rejected " in rejected

    def test_as_json_a_line_is_the_cloud_event(self, sluice: Desk) -> None:
        """Nothing is lost on the way through NATS."""
        event = put(sluice.bus, "objects.detected")

        (line,) = sluice("events", "--no-follow", "--json", "--kind", "detections").splitlines()

        assert json.loads(line) == json.loads(events.to_structured(event))

    def test_an_event_of_a_newer_version_is_handed_on(self, sluice: Desk) -> None:
        """A type that is unknown here is shown as far as it can be."""
        headers = {
            "ce-specversion": "1.0",
            "ce-type": "dev.sluice.x.y.v9",
            "ce-source": "/cameras/gate/x",
            "ce-id": "1",
        }
        sluice.bus.publish("sluice.v1.tracks.gate", b'{"new": 1}', message_id="1", headers=headers)

        assert json.loads(sluice("events", "--no-follow", "--json"))["data"] == {"new": 1}
        assert "dev.sluice.x.y.v9: unknown here" in sluice("events", "--no-follow")

    def test_what_is_no_event_is_told_and_passed_over(self, sluice: Desk) -> None:
        """One bad message hides none of the others."""
        sluice.bus.publish("sluice.v1.health.gate", b"?", message_id="bad")
        put(sluice.bus, "camera.online")

        assert len(sluice("events", "--no-follow").splitlines()) == 1
        assert "sluice.v1.health.gate: unreadable: " in sluice.errors

    def test_a_camera_cannot_drive_the_terminal(self, sluice: Desk) -> None:
        """Control characters in what it said are not printed."""
        headers, payload = events.to_nats(golden("camera.offline"))
        hostile = payload.replace(b'"detail":"', b'"detail":"\\u001b[2J')
        assert hostile != payload
        sluice.bus.publish("sluice.v1.cameras.gate", hostile, message_id="1", headers=headers)

        assert "\x1b" not in sluice("events", "--no-follow")

    def test_an_unknown_kind_is_refused_with_those_there_are(self, sluice: Desk) -> None:
        """A typing error must not look like silence."""
        status, _ = sluice.tried("events", "--kind", "detection")

        assert status == 1
        assert "kind 'detection': expected some of cameras, chunks, counts, detections" in sluice.errors
