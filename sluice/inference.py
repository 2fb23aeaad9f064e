"""The detector: the port, and TritonDetector for any model that keeps the detector contract.

The contract (one for all models, kept by the served model): input FRAMES uint8 [N,H,W,3] RGB, outputs of fixed K
BOXES fp32 [N,K,4] (x0, y0, x1, y1 as fractions of the frame sent), SCORES fp32 [N,K], CLASSES int32 [N,K],
COUNTS int32 [N,1]; the model's parameter long_side says how large a frame it wants, labels its classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
"""[N, height, width, 3], RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One object in one frame; the corners are fractions of the frame."""

    label: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a served model says of itself."""

    name: str
    version: str
    labels: tuple[str, ...]
    long_side: int
    max_batch: int


class Detector(Protocol):
    """Finds objects in frames. Raises UnavailableError when the server does not answer or is stopping."""

    def describe(self, model: str) -> ModelInfo:
        """What the model says of itself; raises UnusableInputError for a model that does not keep the contract."""
        ...

    def detect(self, model: str, frames: Frames) -> list[tuple[Box, ...]]:
        """The objects in each frame."""
        ...
