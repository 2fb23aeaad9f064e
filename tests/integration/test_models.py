"""The built-in models answer in a real Triton, for real frames."""

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from sluice.frames import Batch, Sampler, Want
from sluice.inference import TritonDetector
from sluice.local.tools import INSTALL, find_data
from sluice.local.triton import infers
from sluice.settings import DetectorSettings
from tests.services.server import needed
from tests.services.triton import TritonServer

pytestmark = pytest.mark.triton


@pytest.fixture
def detector(triton_server: TritonServer) -> Iterator[TritonDetector]:
    """A client of a server that runs."""
    triton_server.start()
    detector = TritonDetector(DetectorSettings(url=triton_server.url, timeout_s=30))
    yield detector
    detector.close()


def frames_of(clip: str, detector: TritonDetector, model: str, *, seconds: int) -> list[Batch]:
    """One frame a second of a clip, as the function samples them."""
    body = needed(find_data(clip), f"{clip} is not on this machine: {INSTALL}").read_bytes()
    want = Want(model=model, fps=1, long_side=detector.describe(model).long_side)
    return list(
        Sampler(
            body, where=clip, start_ms=0, duration_ms=seconds * 1000, wants=[want], max_batch_bytes=16 * 1024 * 1024
        )
    )


def test_faces_finds_the_talking_face(detector: TritonDetector) -> None:
    """In every frame there is one face, about in the middle."""
    (batch,) = frames_of("carphone_pristine.mp4", detector, "faces", seconds=4)

    found = detector.detect("faces", batch.frames)

    assert [[box.label for box in boxes if box.score > 0.5] for boxes in found] == [["face"]] * len(batch.frames)
    assert all(0.2 < (boxes[0].x0 + boxes[0].x1) / 2 < 0.6 for boxes in found)


def test_objects_finds_what_is_in_the_street(detector: TritonDetector) -> None:
    """Cars, a person and a bicycle, each in the scene where it is."""
    batches = frames_of("bikes.mp4", detector, "objects", seconds=10)

    found = [boxes for batch in batches for boxes in detector.detect("objects", batch.frames)]

    seen = [{box.label for box in boxes if box.score > 0.5} for boxes in found]
    assert {"person"} <= seen[5]
    assert {"car"} <= seen[6]
    assert {"bicycle"} <= seen[9]


@pytest.mark.parametrize("model", ["faces", "objects"])
@pytest.mark.parametrize("size", [(1, 1), (31, 640), (720, 1280)])
def test_any_size_is_taken(detector: TritonDetector, model: str, size: tuple[int, int]) -> None:
    """Padding is the model's business; grey has nothing in it, and is no error."""
    frames = np.full((2, *size, 3), 90, np.uint8)

    assert len(detector.detect(model, frames)) == 2


def test_a_dead_process_of_any_model_is_noticed(triton_server: TritonServer, detector: TritonDetector) -> None:
    """Whoever watches the server asks every model: the others go on as if nothing had happened."""
    detector.describe("faces")
    assert infers(triton_server.url)
    (stub,) = triton_server.processes("/faces/")

    os.kill(stub, signal.SIGKILL)

    assert infers(triton_server.url, "squares")
    assert not infers(triton_server.url)
    triton_server.kill()
    triton_server.start()
