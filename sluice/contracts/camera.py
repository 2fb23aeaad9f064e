"""A camera: what its operator wants of it, and what the segmenter says of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one function is to do with a camera; what is left out is the function's own default."""

    model: str | None = None
    fps: float | None = None
    """Frames a second that are looked at."""
    labels: tuple[str, ...] | None = None
    """Only these are reported; None: all."""
    min_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """The object cameras/<camera>.json: configuration, written by whoever may administer."""

    name: str
    source: str = ""
    """Where it is pulled from, as a URL; empty: it pushes."""
    push_key: str = ""
    """sha256 of the key that a push must show, in hex; empty: it may not push."""
    paused: bool = False
    target_s: float = 3.0
    """A chunk ends at the first keyframe at or after this."""
    record: bool = True
    """False, with functions at work: its chunks are kept for as long as they need only."""
    retention_days: float = 7.0
    audio: bool = True
    keyframes_only: bool = False
    """Functions look at keyframes alone."""
    functions: dict[str, tuple[Work, ...]] = field(default_factory=dict)
    """By function; one entry a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOnline:
    """A camera's video has begun to arrive."""

    TYPE: ClassVar[str] = "dev.sluice.camera.online.v1"
    KIND: ClassVar[str] = "cameras"

    camera: str
    at: datetime
    codec: str
    """As the chunks hold it, RFC 6381."""
    width: int
    height: int
    audio: str | None
    """Codec of the audio that is kept."""
    transcoding: str | None
    """As in `mjpeg -> h264`; None: it is passed through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOffline:
    """A camera's video does not arrive any longer, or never did."""

    TYPE: ClassVar[str] = "dev.sluice.camera.offline.v1"
    KIND: ClassVar[str] = "cameras"

    camera: str
    at: datetime
    reason: str
    """Stable and machine-readable: unreachable, unresolvable, unauthorized, not-found, silent, ended, garbage,
    too-large, unsupported, no-device, fenced, stopped, paused, removed, worker-died."""
    detail: str
    """For people; without passwords."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksDropped:
    """Chunks that were cut and will not arrive in the bucket."""

    TYPE: ClassVar[str] = "dev.sluice.chunks.dropped.v1"
    KIND: ClassVar[str] = "cameras"

    camera: str
    at: datetime
    reason: str
    """full, old, disk-full, disk-error, torn, refused or fenced."""
    chunks: int
    size_bytes: int
