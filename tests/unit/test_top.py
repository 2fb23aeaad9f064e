"""`sluice top`: what the last minute was like, in figures and tables."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sluice import events, names
from sluice.cli.figures import LastMinute, Picture, percentile
from sluice.contracts.chunk import ChunkRef, ChunkStored
from sluice.contracts.detection import FrameObjects, ObjectsDetected
from sluice.contracts.envelope import Event
from sluice.contracts.rejection import InputRejected
from tests.builders import a_chunk_ref
from tests.desk import Desk

NOW = datetime(2026, 11, 21, 12, 1, tzinfo=UTC)


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def stored(chunk: ChunkRef, *, attempt: int = 0) -> Event[Any]:
    event_id = f"{chunk.key}{attempt}"
    return events.new(
        ChunkStored(chunk=chunk), part="bridge", camera=chunk.camera, event_id=event_id, time=NOW, attempt=attempt
    )


def detected(
    chunk: ChunkRef, *, frames: int = 10, model: str = "faces", latency_ms: float = 300, wait_ms: float = 100
) -> Event[Any]:
    """Of a chunk of two seconds, of which five frames a second were wanted."""
    data = ObjectsDetected(
        chunk=chunk,
        model=model,
        model_version="1",
        frames=tuple(FrameObjects(at=chunk.start, offset_ms=0) for _ in range(frames)),
        wanted_fps=5,
        sampled_fps=frames / 2,
        keyframes_only=False,
        width=640,
        height=360,
        stages_ms={"wait": wait_ms, "decode": 20.0, "infer": 80.0},
    )
    ended = chunk.start + timedelta(milliseconds=chunk.duration_ms)
    answer = events.answer(stored(chunk), data, function="detect", model=model)
    return replace(answer, time=ended + timedelta(milliseconds=latency_ms))


def a_minute(*those: Event[Any], at: datetime = NOW) -> LastMinute:
    minute = LastMinute()
    for each in those:
        minute.add(each, at=at)
    return minute


def picture(minute: LastMinute, **changes: Any) -> Picture:
    shown: dict[str, Any] = {
        "at": NOW,
        "cameras": {},
        "chunks_per_s": minute.chunks_per_s(NOW),
        "works": minute.works(NOW),
        "services": {},
        "pending": None,
        "notes": (),
    }
    return Picture(**{**shown, **changes})


class TestFigures:
    """Each is made of the events of a minute."""

    def test_frames_in_a_second_are_those_of_all_cameras(self) -> None:
        """Six chunks of ten frames in a minute are one frame a second."""
        minute = a_minute(*(detected(a_chunk_ref(camera, seq=seq)) for camera in ("gate", "yard") for seq in (1, 2, 3)))

        (work,) = minute.works(NOW)

        assert (work.function, work.model, work.cameras) == ("detect", "faces", 2)
        assert (work.chunks_per_s, work.fps, work.wanted_fps, work.dropped) == (0.1, 1.0, 1.0, 0.0)

    def test_what_was_wanted_and_not_looked_at_is_dropped(self) -> None:
        """Half of one chunk's frames is a quarter of two chunks'."""
        minute = a_minute(detected(a_chunk_ref(seq=1)), detected(a_chunk_ref(seq=2), frames=5))

        assert minute.works(NOW)[0].dropped == 0.25

    def test_latency_is_from_the_end_of_the_chunk_to_the_event(self) -> None:
        """Median and 95th percentile."""
        minute = a_minute(*(detected(a_chunk_ref(seq=n), latency_ms=n * 10, wait_ms=n) for n in range(1, 101)))

        (work,) = minute.works(NOW)

        assert (work.latency_p50_ms, work.latency_p95_ms, work.wait_p95_ms) == (500, 950, 95)
        assert work.stages_p50_ms == {"wait": 50, "decode": 20, "infer": 80}

    def test_each_model_has_figures_of_its_own(self) -> None:
        """They differ in cost."""
        minute = a_minute(detected(a_chunk_ref()), detected(a_chunk_ref(), model="objects"))

        assert [work.model for work in minute.works(NOW)] == ["faces", "objects"]

    def test_a_rejection_is_counted_and_looks_at_no_frames(self) -> None:
        """So it lowers no rate."""
        chunk = a_chunk_ref()
        data = InputRejected(part="inspect", where=chunk.key, expected="video", found="noise", chunk=chunk)
        minute = a_minute(events.answer(stored(chunk), data, function="inspect"))

        (work,) = minute.works(NOW)

        assert (work.rejected, work.fps, work.dropped, work.stages_p50_ms) == (1, None, None, {})

    def test_a_chunk_that_the_sweeper_announces_again_is_not_a_new_one(self) -> None:
        """It was stored once."""
        minute = a_minute(stored(a_chunk_ref(seq=1)), stored(a_chunk_ref(seq=1), attempt=1), stored(a_chunk_ref(seq=2)))

        assert minute.chunks_per_s(NOW) == {"gate": 2 / 60}
        assert minute.works(NOW) == []

    def test_what_is_older_than_a_minute_is_forgotten(self) -> None:
        """It is the last minute, not the average since the start."""
        minute = a_minute(stored(a_chunk_ref()), detected(a_chunk_ref()), at=NOW - timedelta(seconds=61))
        minute.add(stored(a_chunk_ref("yard")), at=NOW)

        assert minute.chunks_per_s(NOW) == {"yard": 1 / 60}
        assert minute.works(NOW) == []

    @pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (0.0, 1.0), (1.0, 4.0)])
    def test_a_percentile_is_a_value_that_was_seen(self, share: float, value: float) -> None:
        """No interpolation between latencies that nobody had."""
        assert percentile([4.0, 2.0, 1.0, 3.0], share) == value


class TestTables:
    """The same picture for people and for programs."""

    def test_columns_are_aligned(self) -> None:
        """As wide as their widest cell."""
        services = {"detect": {"instances": [1, 2], "starting": 0, "requests": 12, "crashes": 0}}
        cameras = {"a-camera-of-a-long-name": {"state": "online", "fps": 25.0}}

        lines = list(picture(a_minute(stored(a_chunk_ref())), cameras=cameras, services=services, pending=3).lines())

        assert lines == [
            "2026-11-21 12:01:00 UTC   figures of the last minute   events under way: 3",
            "",
            "CAMERA                    STATE  FPS IN  CHUNKS/S",
            "a-camera-of-a-long-name  online   25.00      0.00",
            "gate                          -       -      0.02",
            "",
            "FUNCTION  CHUNKS/S  FPS OUT  WANTED  DROPPED  WAIT p95  GET  DECODE  INFER  LATENCY p50  p95  REJECTED",
            "",
            "SERVICE  INSTANCES  STARTING  REQUESTS  CRASHES",
            "detect           2         0        12        0",
        ]

    def test_a_function_is_a_line(self) -> None:
        """Rates, share, stages, latencies."""
        minute = a_minute(detected(a_chunk_ref(seq=1)), detected(a_chunk_ref(seq=2), frames=5))

        (line,) = [each for each in picture(minute).lines() if each.startswith("detect")]

        assert line.split() == [
            *("detect", "faces", "0.03", "0.25", "0.33", "25%"),
            *("100", "ms", "-", "20", "ms", "80", "ms", "300", "ms", "300", "ms", "0"),
        ]

    def test_programs_get_the_same(self) -> None:
        """As plain JSON."""
        minute = a_minute(stored(a_chunk_ref()), detected(a_chunk_ref()))

        shown = json.loads(json.dumps(picture(minute, cameras={"gate": {"fps": 25}}).for_programs()))

        assert shown["cameras"] == [{"fps": 25, "camera": "gate", "chunks_per_s": 1 / 60}]
        assert shown["works"][0]["latency_p95_ms"] == 300
        assert shown["pending"] is None


class TestCommand:
    """Without a terminal it prints lines."""

    def test_once_shows_the_last_minute_and_ends(self, sluice: Desk) -> None:
        """What cannot be known here is said."""
        event = detected(a_chunk_ref())
        headers, payload = events.to_nats(event)
        sluice.bus.publish(names.subject("detections", "gate"), payload, message_id="1", headers=headers)

        said = sluice("top", "--once", "--state", "no/such/folder")

        assert "\ndetect faces " in said
        assert "\x1b" not in said
        assert "so no camera's state is known" in said
        assert "kubectl get pods" in said

    def test_once_as_json_is_one_document(self, sluice: Desk) -> None:
        """A line."""
        (line,) = sluice("top", "--once", "--json", "--state", "no/such/folder").splitlines()

        assert json.loads(line)["works"] == []

    def test_on_a_terminal_each_picture_replaces_the_last(self, sluice: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """No line is longer than the terminal is wide, nor are there more than it has."""
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("LINES", "6")

        said = sluice("top", "--once", "--state", "no/such/folder")

        assert said.startswith("\x1b[H\x1b[J")
        shown = said.removeprefix("\x1b[H\x1b[J").splitlines()
        assert (len(shown), max(map(len, shown))) == (5, 40)
