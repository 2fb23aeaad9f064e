"""ONNX detectors of every style, brought by a user, answer in a real Triton."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from sluice.errors import UnavailableError, UnusableInputError
from sluice.inference import Box, Frames, TritonDetector
from sluice.local.program import free_port
from sluice.local.tools import INSTALL, find_triton
from sluice.local.triton import TritonPorts, forget_shared_memory, triton_program
from sluice.models import repository, server
from sluice.models.added import add_model
from sluice.models.styles import Options
from sluice.settings import DetectorSettings
from tests.data.models import tiny
from tests.services.server import needed
from tests.services.triton import TritonServer

pytestmark = pytest.mark.triton
SIZE = (tiny.SIDE, tiny.SIDE)


class Brought(NamedTuple):
    """A graph and what is said of it."""

    make: Callable[[Path], Path]
    style: str
    options: Options = Options()


BROUGHT = {
    "yolox": Brought(tiny.yolox, "yolox"),
    "yolox-any": Brought(partial(tiny.yolox, batch="n", side="side"), "yolox", Options(size=SIZE)),
    "rtdetr": Brought(tiny.rtdetr, "rtdetr"),
    "rtdetr-finished": Brought(tiny.rtdetr_finished, "rtdetr"),
    "ssd": Brought(tiny.ssd, "ssd", Options(size=SIZE)),
}


@pytest.fixture(scope="module", params=[False, True], ids=["beside", "apart"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server of all of them, with nets inside their models, and as models of their own as in NVIDIA's image."""
    home = needed(find_triton(), f"Triton is not on this machine: {INSTALL}")
    folder = tmp_path_factory.mktemp("added")
    for name, brought in BROUGHT.items():
        graph = brought.make(folder / f"{name}.onnx")
        add_model(
            folder / "added",
            name=name,
            source=graph,
            style=brought.style,
            labels=tiny.LABELS,
            options=brought.options,
        )
    models = folder / "models"
    repository.assemble(models, added=folder / "added", apart=request.param)
    ports = TritonPorts(http=free_port(), grpc=free_port(), metrics=free_port())
    program = triton_program(home=home, repository=models, ports=ports, log=folder / "triton.log")
    triton = TritonServer(program, ports)
    try:
        triton.start()
        yield triton
    finally:
        triton.kill()
        forget_shared_memory(models)


@pytest.fixture
def detector(running: TritonServer) -> Iterator[TritonDetector]:
    """A client of it."""
    detector = TritonDetector(DetectorSettings(url=running.url, timeout_s=30))
    yield detector
    detector.close()


def picture(width: int, height: int) -> Frames:
    """Two black frames: the first has a red square, the second a green one below it on the right."""
    frames = np.zeros((2, height, width, 3), np.uint8)
    frames[0, 8:16, 16:24] = (255, 0, 0)
    frames[1, 24:32, 32:40] = (0, 255, 0)
    return frames


def box_corners(box: Box) -> tuple[float, float, float, float]:
    """As one tuple."""
    return box.x0, box.y0, box.x1, box.y1


@pytest.mark.parametrize("model", BROUGHT)
def test_finds_things_where_they_are(detector: TritonDetector, model: str) -> None:
    """Colours, places and labels come through, of a frame that fills the net's size and of one that is padded."""
    for width, height in ((64, 64), (48, 40)):
        found = detector.detect(model, picture(width, height))

        whole = (width, height, width, height)
        told = [
            [(box.label, *(np.rint(np.multiply(box_corners(box), whole)).astype(int).tolist())) for box in boxes]
            for boxes in found
        ]
        assert told == [[("red", 16, 8, 24, 16)], [("green", 32, 24, 40, 32)]]


@pytest.mark.parametrize("model", BROUGHT)
def test_a_larger_frame_is_scaled_by_the_model(detector: TritonDetector, model: str) -> None:
    """Long side or not, an answer is in shares of the frame that was sent."""
    frames = picture(64, 64).repeat(2, axis=1).repeat(2, axis=2)

    (red,), (green,) = detector.detect(model, frames)

    assert (red.label, green.label) == ("red", "green")
    assert (red.x0, red.y0, green.x1, green.y1) == pytest.approx((16 / 64, 8 / 64, 40 / 64, 32 / 64), abs=0.01)


def test_a_model_says_what_it_is(detector: TritonDetector) -> None:
    """Labels and long side are those that were given."""
    info = detector.describe("yolox")

    assert (info.labels, info.long_side) == (tiny.LABELS, tiny.SIDE)


def test_a_server_that_runs_loads_one_more(running: TritonServer, detector: TritonDetector, tmp_path: Path) -> None:
    """Nothing else is interrupted; a model that is not there is an error with the server's reason."""
    models = Path(next(each for each in running.command if "--model-repository=" in each).partition("=")[2])
    add_model(tmp_path, name="later", source=tiny.rtdetr(tmp_path / "graph.onnx"), style="rtdetr", labels=tiny.LABELS)
    (tmp_path / "later").rename(models / "later")
    repository.wrap(models / "later")
    with pytest.raises((UnavailableError, UnusableInputError)):
        detector.describe("later")

    server.load(running.url, "later")

    assert detector.describe("later").labels == tiny.LABELS
    states = {each.name: each.state for each in server.index(running.url)}
    assert states["later"] == states["squares"] == "READY"
    with pytest.raises(UnavailableError, match="never"):
        server.load(running.url, "never")
