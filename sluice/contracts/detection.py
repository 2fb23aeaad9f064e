"""What a model found in a chunk."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from sluice.contracts.chunk import ChunkRef


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedObject:
    """One object in one frame."""

    label: str
    score: float
    x0: float
    """The corners are fractions of the picture, from its top left."""
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameObjects:
    """One frame that was looked at; it is listed also when nothing was found."""

    at: datetime
    """Wall time."""
    offset_ms: int
    """Since the chunk's start."""
    objects: tuple[DetectedObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectsDetected:
    """A model looked at a chunk; once a chunk and model."""

    TYPE: ClassVar[str] = "dev.sluice.objects.detected.v1"
    KIND: ClassVar[str] = "detections"

    chunk: ChunkRef
    model: str
    model_version: str
    frames: tuple[FrameObjects, ...]
    wanted_fps: float
    """As the camera's settings say."""
    sampled_fps: float
    """What was looked at: less when chunks waited."""
    keyframes_only: bool
    width: int
    """Of the picture."""
    height: int
    whole: bool = True
    """False: some of its frames could not be decoded."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Time spent: wait (from the chunk's end), get, decode, infer, total."""
