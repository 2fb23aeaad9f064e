"""SeesSquares: a Detector without a server, for the bright magenta squares of the test pattern."""

import numpy as np
import numpy.typing as npt

from sluice.errors import UnusableInputError
from sluice.inference import Box, Frames, ModelInfo, check_frames

_SQUARES = ModelInfo(name="squares", version="1", labels=("square",), long_side=640, max_batch=32)
_SMALLEST_PX = 3


class SeesSquares:
    """Knows the one model `squares`, and answers as the served one does."""

    def describe(self, model: str) -> ModelInfo:
        """The model `squares`; any other is unknown."""
        if model != _SQUARES.name:
            raise UnusableInputError("a served model", repr(model), "detector")
        return _SQUARES

    def detect(self, model: str, frames: Frames) -> list[tuple[Box, ...]]:
        """Every magenta square of each frame."""
        self.describe(model)
        check_frames(frames)
        return [_squares(frame) for frame in frames]


def _squares(frame: npt.NDArray[np.uint8]) -> tuple[Box, ...]:
    height, width, _ = frame.shape
    wide = frame.astype(np.int16)
    # More than half way from any grey to magenta: where 4:2:0 has mixed the edge with the ground, that is the edge.
    magenta = np.minimum(wide[..., 0], wide[..., 2]) - wide[..., 1] > 127
    return tuple(
        Box(label="square", score=1.0, x0=x0 / width, y0=y0 / height, x1=x1 / width, y1=y1 / height)
        for x0, x1 in _runs(np.asarray(magenta.any(axis=0)))
        for y0, y1 in _runs(np.asarray(magenta[:, x0:x1].any(axis=1)))
        if magenta[y0:y1, x0:x1].mean() >= 0.6
    )


def _runs(line: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _SMALLEST_PX]
