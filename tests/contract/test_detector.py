"""What every Detector keeps: one class of tests for the fake and for Triton itself."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sluice.errors import UnavailableError, UnusableInputError
from sluice.inference import Box, Detector, Frames, TritonDetector
from sluice.local.program import free_port
from sluice.local.triton import infers
from sluice.settings import DetectorSettings
from sluice.testing.detector import SeesSquares
from tests.services.triton import TritonServer

MAGENTA = (255, 0, 255)
BOUND_S = 5.0
"""No answer, good or bad, takes longer."""


def ground(width: int, height: int, count: int = 1) -> Frames:
    """Frames of grey and of full colours, but for magenta."""
    frames = np.full((count, height, width, 3), 90, np.uint8)
    frames[:, : height // 8, : width // 2] = (255, 255, 255)
    frames[:, : height // 8, width // 2 :] = (0, 255, 0)
    frames[:, -height // 8 :, : width // 2] = (255, 0, 0)
    frames[:, -height // 8 :, width // 2 :] = (0, 0, 255)
    return frames


def with_square(frames: Frames, x: int, y: int, side: int, *, index: int = 0) -> Frames:
    """The same frames with one square drawn into one of them."""
    frames[index, y : y + side, x : x + side] = MAGENTA
    return frames


def as_decoded(frames: Frames) -> Frames:
    """What is left of frames after H.264's 4:2:0 and a scaler: half the colour, edges mixed, noise."""
    low = frames[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)[:, : frames.shape[1], : frames.shape[2]]
    noise = np.random.default_rng(7).integers(-12, 13, frames.shape)
    mixed = (low.astype(np.int16) + frames) // 2 + noise
    kept: Frames = np.clip(mixed, 0, 255).astype(np.uint8)
    return kept


def iou(box: Box, *, x: int, y: int, side: int, size: tuple[int, int]) -> float:
    """Intersection over union of a found box with the square that was drawn, in pixels."""
    width, height = size
    x0, y0, x1, y1 = box.x0 * width, box.y0 * height, box.x1 * width, box.y1 * height
    both = max(0.0, min(x1, x + side) - max(x0, x)) * max(0.0, min(y1, y + side) - max(y0, y))
    return both / ((x1 - x0) * (y1 - y0) + side * side - both)


@pytest.fixture(params=["fake", pytest.param("triton", marks=pytest.mark.triton)])
def detector(request: pytest.FixtureRequest) -> Iterator[Detector]:
    if request.param == "fake":
        yield SeesSquares()
        return
    server: TritonServer = request.getfixturevalue("triton_server")
    server.start()
    real = TritonDetector(DetectorSettings(url=server.url, timeout_s=BOUND_S))
    yield real
    real.close()


class TestDetector:
    """The detector contract."""

    @pytest.mark.parametrize(("width", "height"), [(640, 360), (176, 144), (360, 640), (97, 61), (1280, 720)])
    def test_finds_the_square_at_any_size(self, detector: Detector, width: int, height: int) -> None:
        """A box covers the object to 0.9 and speaks in fractions of the frame sent."""
        x, y, side = width // 3, height // 3, min(width, height) // 3
        frames = as_decoded(with_square(ground(width, height), x, y, side))

        ((box,),) = detector.detect("squares", frames)

        assert iou(box, x=x, y=y, side=side, size=(width, height)) >= 0.9
        assert box.label == "square"
        assert box.score > 0.5

    def test_answers_for_every_frame_of_more_than_one_batch(self, detector: Detector) -> None:
        """What the server takes at once is the adapter's business; order and number of answers stay."""
        count = detector.describe("squares").max_batch * 2 + 3
        frames = ground(160, 96, count)
        for index in range(0, count, 2):
            with_square(frames, index, 30, 24, index=index)

        found = detector.detect("squares", frames)

        assert [len(boxes) for boxes in found] == [(index + 1) % 2 for index in range(count)]
        assert all(iou(found[i][0], x=i, y=30, side=24, size=(160, 96)) >= 0.9 for i in range(0, count, 2))

    def test_finds_each_of_several(self, detector: Detector) -> None:
        """One frame, more objects."""
        frames = with_square(with_square(ground(320, 180), 30, 60, 32), 200, 80, 40)

        ((left, right),) = detector.detect("squares", frames)

        assert iou(left, x=30, y=60, side=32, size=(320, 180)) >= 0.9
        assert iou(right, x=200, y=80, side=40, size=(320, 180)) >= 0.9

    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0)])
    def test_an_empty_frame_has_no_box(self, detector: Detector, colour: tuple[int, int, int]) -> None:
        """Nothing there is an answer, too."""
        frames = np.full((2, 90, 160, 3), colour, np.uint8)

        found = detector.detect("squares", frames)

        assert found == [(), ()]

    def test_no_frames_have_no_answers(self, detector: Detector) -> None:
        """A chunk without a decoded frame asks for nothing."""
        assert detector.detect("squares", np.zeros((0, 90, 160, 3), np.uint8)) == []

    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param(np.zeros((1, 90, 160, 3), np.float32), id="float"),
            pytest.param(np.zeros((1, 90, 160), np.uint8), id="grey"),
            pytest.param(np.zeros((90, 160, 3), np.uint8), id="one-frame-bare"),
            pytest.param(np.zeros((1, 0, 160, 3), np.uint8), id="no-height"),
        ],
    )
    def test_refuses_what_are_no_frames(self, detector: Detector, frames: Frames) -> None:
        """Trying again would not help, so the error says so."""
        with pytest.raises(UnusableInputError):
            detector.detect("squares", frames)

    def test_a_model_says_what_it_is(self, detector: Detector) -> None:
        """Labels, the size it wants and how much it takes at once come from the served model."""
        info = detector.describe("squares")

        assert (info.name, info.version, info.labels, info.long_side) == ("squares", "1", ("square",), 640)
        assert info.max_batch == 32

    def test_an_unknown_model_is_hopeless(self, detector: Detector) -> None:
        """A camera's settings may name a model that nobody serves."""
        with pytest.raises(UnusableInputError, match="nobody"):
            detector.describe("nobody")
        with pytest.raises(UnusableInputError, match="nobody"):
            detector.detect("nobody", ground(160, 96))


def until(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"


@pytest.mark.triton
class TestTriton:
    """What only a server can do: go away, come back, half die."""

    @pytest.fixture
    def real(self, triton_server: TritonServer) -> Iterator[TritonDetector]:
        """A detector of a server that runs before and after."""
        triton_server.start()
        real = TritonDetector(DetectorSettings(url=triton_server.url, timeout_s=BOUND_S))
        yield real
        real.close()
        triton_server.start()

    @pytest.mark.parametrize("ends", [TritonServer.stop, TritonServer.kill], ids=["stopped", "killed"])
    def test_a_server_that_goes_is_unavailable_and_welcome_back(
        self, triton_server: TritonServer, real: TritonDetector, ends: Callable[[TritonServer], None]
    ) -> None:
        """The same detector object lives through any number of restarts."""
        frames = with_square(ground(160, 96), 40, 30, 24)
        before = real.detect("squares", frames)
        ends(triton_server)

        for _ in range(20):
            begun = time.monotonic()
            with pytest.raises(UnavailableError):
                real.detect("squares", frames)
            assert time.monotonic() - begun < BOUND_S
        triton_server.start()

        assert real.detect("squares", frames) == before

    def test_requests_while_it_stops_are_told_to_come_later(
        self, triton_server: TritonServer, real: TritonDetector
    ) -> None:
        """A stopping server disowns the models it has; no event may be rejected for that."""
        frames = ground(160, 96)
        real.detect("squares", frames)
        refused: list[str] = []  # not the errors: each holds its connection

        os.kill(triton_server.pid, signal.SIGTERM)

        def refuses() -> bool:
            try:
                real.detect("squares", frames)
            except UnavailableError as error:
                refused.append(str(error))
            return not triton_server.runs()

        until(refuses)
        triton_server.stop()
        assert refused

    def test_a_dead_model_process_is_unavailable_and_seen(
        self, triton_server: TritonServer, real: TritonDetector
    ) -> None:
        """Triton never starts it again and goes on to say that it is ready: only an inference tells."""
        frames = ground(160, 96)
        real.detect("squares", frames)
        (stub,) = triton_server.processes("squares")

        os.kill(stub, signal.SIGKILL)

        with pytest.raises(UnavailableError):
            real.detect("squares", frames)
        assert not infers(triton_server.url)
        triton_server.kill()

    def test_a_deaf_address_costs_no_more_than_the_timeout(self) -> None:
        """Something that accepts and never speaks is unavailable as well."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            detector = TritonDetector(DetectorSettings(url=f"127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.5))
            begun = time.monotonic()

            with pytest.raises(UnavailableError):
                detector.detect("squares", ground(160, 96))

            assert time.monotonic() - begun < 2

    def test_nobody_there_is_unavailable_at_once(self) -> None:
        """A closed port is an answer."""
        detector = TritonDetector(DetectorSettings(url=f"127.0.0.1:{free_port()}", timeout_s=BOUND_S))

        with pytest.raises(UnavailableError, match="triton"):
            detector.describe("squares")
