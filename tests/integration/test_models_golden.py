"""The served models find what an independent implementation found in the same real frames, box by box.

The references were made once by tests/data/models/make_references.py. Swapped colours, a wrong scale, a lost padding or
no suppression move or multiply boxes, and this goes red.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sluice.frames import Sampler, Want
from sluice.inference import Box, TritonDetector
from sluice.local.tools import INSTALL, find_data
from sluice.settings import DetectorSettings
from tests.services.server import needed
from tests.services.triton import TritonServer

pytestmark = pytest.mark.triton
DATA = Path(__file__).parent.parent / "data" / "models"
SURE = 0.5
"""Boxes of at least this score must be there on both sides; around the models' own 0.4 rounding decides."""


@pytest.fixture
def detector(triton_server: TritonServer) -> Iterator[TritonDetector]:
    """A client of a server that runs."""
    triton_server.start()
    detector = TritonDetector(DetectorSettings(url=triton_server.url, timeout_s=30))
    yield detector
    detector.close()


def every_frame(detector: TritonDetector, model: str, clip: str, numbers: set[int]) -> dict[int, tuple[Box, ...]]:
    """The boxes of some frames of a clip by number, decoded and scaled as the function does it."""
    body = needed(find_data(clip), f"{clip} is not on this machine: {INSTALL}").read_bytes()
    want = Want(model=model, fps=1000, long_side=detector.describe(model).long_side)
    batches = list(
        Sampler(body, where=clip, start_ms=0, duration_ms=20_000, wants=[want], max_batch_bytes=8 * 1024 * 1024)
    )
    frames = [frame for batch in batches for frame in batch.frames]
    return {number: detector.detect(model, frames[number][None])[0] for number in sorted(numbers)}


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, wide) * max(0.0, high)
    area = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return both / (area - both)


def is_matched(one: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether exactly one of *others* is the same thing at the same place."""
    alike = [each for each in others if each["label"] == one["label"] and iou(one["box"], each["box"]) >= 0.9]
    return len(alike) == 1 and abs(alike[0]["score"] - one["score"]) < 0.03


@pytest.mark.parametrize("clip", ["bikes.mp4", "carphone_pristine.mp4"])
@pytest.mark.parametrize("model", ["faces", "objects"])
def test_finds_what_the_reference_finds(detector: TritonDetector, model: str, clip: str) -> None:
    """Each sure box of one side has its one counterpart on the other."""
    reference = json.loads((DATA / f"{model}.json").read_text("utf-8"))[clip]

    answers = every_frame(detector, model, clip, {int(number) for number in reference})

    for number, expected in reference.items():
        found: list[dict[str, Any]] = [
            {"label": box.label, "score": box.score, "box": (box.x0, box.y0, box.x1, box.y1)}
            for box in answers[int(number)]
        ]
        assert all(is_matched(each, found) for each in expected if each["score"] >= SURE), f"frame {number}: {found}"
        assert all(is_matched(each, expected) for each in found if each["score"] >= SURE), f"frame {number}: {found}"
