"""What an operator is told of detect."""

import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from functions.detect.handler import handle
from functions.detect.settings import DetectSettings
from sluice import telemetry
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.telemetry import Telemetry
from sluice.testing.bus import MemoryBus
from sluice.testing.detector import SeesSquares
from sluice.testing.store import MemoryStore
from tests.builders import a_chunk, a_chunk_stored

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operations.md"
ROW = re.compile(
    r"^\| `(?P<name>sluice_[a-z_]+)` \| (?P<kind>[a-z]+) \| (?P<labels>[^|]*) \| (?P<about>[^|]*) \|$", re.MULTILINE
)


@pytest.fixture
def told() -> dict[str, Metric]:
    """What a chunk of two seconds has left behind: ten frames of it are wanted."""
    metrics, store = Telemetry("detect"), MemoryStore()
    telemetry.use(metrics)
    _, body = a_chunk()
    event = a_chunk_stored(activity="active")
    store.put(event.data.chunk.key, body, content_type="video/mp4")
    store.put(
        "cameras/gate.json",
        encode(Camera(name="gate", source="test://", functions={"detect": (Work(model="squares", fps=5),)})),
    )

    handle(event, store=store, bus=MemoryBus(), detector=SeesSquares(), settings=DetectSettings(late_s=0))

    return {each.name: each for each in text_string_to_metric_families(metrics.render()[0].decode())}


def value(told: dict[str, Metric], name: str, sample: str, **labels: str) -> float:
    wanted = {"part": "detect", **labels}
    (found,) = [each.value for each in told[name].samples if each.name == sample and each.labels == wanted]
    return float(found)


def test_frames_in_wanted_and_looked_at_are_counted(told: dict[str, Metric]) -> None:
    """From these three an operator sees what is left out, by choice and by load."""
    assert value(told, "sluice_frames_in", "sluice_frames_in_total") == 50
    assert value(told, "sluice_frames_wanted", "sluice_frames_wanted_total", model="squares") == 10
    assert value(told, "sluice_frames_looked_at", "sluice_frames_looked_at_total", model="squares") == 10


def test_stages_batches_and_waiting_are_distributions(told: dict[str, Metric]) -> None:
    """One chunk: each stage once, all frames in batches."""
    for stage in ("get", "decode", "infer"):
        assert value(told, "sluice_stage_seconds", "sluice_stage_seconds_count", stage=stage) == 1
    assert value(told, "sluice_batch_frames", "sluice_batch_frames_sum", model="squares") == 10
    assert value(told, "sluice_queue_age_seconds", "sluice_queue_age_seconds_count") == 1


def test_the_document_lists_these_metrics(told: dict[str, Metric]) -> None:
    """docs/operations.md agrees with the code in name, type, labels and sentence, and lists no other."""
    section = DOCUMENT.read_text("utf-8").partition("## Detect metrics\n")[2].partition("\n## ")[0]
    in_document = {
        (
            row["name"].removesuffix("_total"),
            row["kind"],
            frozenset(re.findall("`([a-z]+)`", row["labels"])),
            row["about"],
        )
        for row in ROW.finditer(section)
    }

    assert in_document == {
        (
            name,
            family.type,
            frozenset(label for each in family.samples for label in each.labels) - {"part", "le"},
            family.documentation,
        )
        for name, family in told.items()
    }
