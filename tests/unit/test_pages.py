"""What the segmenter shows: a page that Prometheus reads, and JSON for people's tools."""

import json
import re
from dataclasses import asdict, fields
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from segmenter.fleet.pages import COUNTERS, GAUGES, OTHERS, cameras_page, metrics_page
from segmenter.report import CameraReport

NOW_MS = 1_790_000_010_000
WORKERS = [(1, 4242, 2, 0), (2, None, 1, 3)]
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operations.md"
ROW = re.compile(
    r"^\| `(?P<name>sluice_(?:camera|segmenter)_[a-z_]+)` \| (?P<kind>[a-z]+) \| (?P<about>[^|]*) \|$", re.MULTILINE
)


def reports() -> list[dict[str, object]]:
    """Of a camera that records, and one that nobody has spoken of yet."""
    gate = CameraReport(
        camera="gate",
        state="online",
        packets=123_456_789_012,
        fps=24.97,
        last_chunk_ms=NOW_MS - 2500,
        dropped={"full": 2, "old": 1},
        connections=3,
        drift_ms=-17,
    )
    return [asdict(gate), {"camera": "new", "state": "connecting"}]


def families() -> dict[str, Metric]:
    """The page as Prometheus sees it."""
    page = metrics_page(reports(), WORKERS, now_ms=NOW_MS, events_lost=5, clock_steps=2)
    found = list(text_string_to_metric_families(page.decode()))
    assert len(found) == len({each.name for each in found}), "a family is torn in two"
    return {each.name: each for each in found}


def sample(name: str, **labels: str) -> float:
    """The one value with these labels."""
    of = {
        each.labels.get("camera", ""): each
        for each in families()[name].samples
        if labels.items() <= each.labels.items()
    }
    (only,) = of.values()
    return only.value


def test_counters_are_exact() -> None:
    """A rate of a number that was rounded is nonsense."""
    assert sample("sluice_camera_packets", camera="gate") == 123_456_789_012
    assert b"123456789012\n" in metrics_page(reports(), [], now_ms=0, events_lost=0, clock_steps=0)


def test_labels_tell_cameras_reasons_and_workers_apart() -> None:
    """Each camera and reason is a series of its own."""
    assert sample("sluice_camera_dropped", camera="gate", reason="full") == 2
    assert sample("sluice_camera_dropped", camera="gate", reason="old") == 1
    assert sample("sluice_camera_state", camera="gate", state="online") == 1
    assert sample("sluice_camera_state", camera="gate", state="offline") == 0
    assert sample("sluice_camera_state", camera="new", state="connecting") == 1
    assert sample("sluice_segmenter_crashes", worker="2") == 3


def test_gauges_may_be_negative_and_broken() -> None:
    """A clock that runs late, and 24.97 frames a second."""
    assert sample("sluice_camera_drift_ms", camera="gate") == -17
    assert sample("sluice_camera_fps", camera="gate") == 24.97
    assert sample("sluice_camera_last_chunk_age_seconds", camera="gate") == 2.5
    assert sample("sluice_segmenter_events_lost") == 5
    assert sample("sluice_segmenter_clock_steps") == 2


def test_a_camera_without_chunks_has_no_age() -> None:
    """0 would say that it is fresh."""
    ages = families()["sluice_camera_last_chunk_age_seconds"].samples

    assert [each.labels["camera"] for each in ages] == ["gate"]


def test_any_name_can_be_shown() -> None:
    """An object that is no camera's is told by its key."""
    strange = 'cameras/a"b\\c\nd.json'

    page = metrics_page([{"camera": strange}], [], now_ms=0, events_lost=0, clock_steps=0).decode()

    found = {each.name: each for each in text_string_to_metric_families(page)}
    assert found["sluice_camera_packets"].samples[0].labels == {"camera": strange}


def test_every_number_is_a_field_of_a_report() -> None:
    """A field that was renamed would be 0 for ever."""
    assert {*COUNTERS, *GAUGES} <= {each.name for each in fields(CameraReport)}


def test_types_and_sentences_stand_in_the_page() -> None:
    """Prometheus is told what is a counter."""
    found = families()

    for field, about in COUNTERS.items():
        assert (found[f"sluice_camera_{field}"].type, found[f"sluice_camera_{field}"].documentation) == (
            "counter",
            about,
        )
    for field, about in GAUGES.items():
        assert (found[f"sluice_camera_{field}"].type, found[f"sluice_camera_{field}"].documentation) == ("gauge", about)
    for name, (kind, about) in OTHERS.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, about)


def test_the_json_is_sorted_and_says_what_the_command_line_shows() -> None:
    """Age, drops in all and by reason, reconnects."""
    shown = json.loads(cameras_page(reversed(reports()), now_ms=NOW_MS))

    gate, new = shown
    assert (gate["camera"], new["camera"]) == ("gate", "new")
    assert (gate["dropped"], gate["dropped_chunks"]) == (3, {"full": 2, "old": 1})
    assert (gate["last_chunk_s"], gate["reconnects"]) == (2.5, 2)
    assert (new["last_chunk_s"], new["dropped"], new["reconnects"]) == (None, 0, 0)


def test_the_document_lists_the_metrics() -> None:
    """docs/operations.md agrees with the code in name, type and sentence, and lists no other."""
    of_cameras = (
        {(f"sluice_camera_{field}_total", "counter", about) for field, about in COUNTERS.items()}
        | {(f"sluice_camera_{field}", "gauge", about) for field, about in GAUGES.items()}
        | {(name, kind, about) for name, (kind, about) in OTHERS.items()}
    )
    in_document = {
        (row["name"], row["kind"], row["about"].strip()) for row in ROW.finditer(DOCUMENT.read_text("utf-8"))
    }

    assert in_document == of_cameras
