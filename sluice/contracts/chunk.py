"""A stored chunk, and what was found when it was inspected."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRef:
    """Where a chunk is, and what its name says: events carry references, never pixels."""

    bucket: str
    key: str
    camera: str
    start: datetime
    """Wall time of the first frame."""
    duration_ms: int
    session: int
    seq: int
    activity: str
    init_key: str
    size_bytes: int | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkStored:
    """A chunk is durable in the bucket."""

    TYPE: ClassVar[str] = "dev.sluice.chunk.stored.v1"
    KIND: ClassVar[str] = "chunks"

    chunk: ChunkRef
    metadata: dict[str, str] = field(default_factory=dict)
    """The object's metadata as the segmenter wrote it (codec, width, height, fps …); lower-case keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One thing an operator can do about a camera."""

    code: str
    """Stable and machine-readable, as in long-gop."""
    severity: str
    """info, warning or error."""
    text: str
    """What was found, why it matters, what to change in the camera."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoHealth:
    """What the camera doctor saw in the video track."""

    codec: str
    profile: str
    width: int
    height: int
    fps: float
    frames: int
    keyframes: int
    gop_frames: int | None
    """Frames from one keyframe to the next; None when the chunk holds a single keyframe."""
    b_frames: bool
    open_gop: bool
    bitrate_bps: int
    gaps: int
    """Places where the next frame comes later than one and a half frame durations."""
    longest_gap_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioHealth:
    """What the camera doctor heard of the audio track."""

    codec: str
    sample_rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInspected:
    """The camera doctor looked at a session's first chunk."""

    TYPE: ClassVar[str] = "dev.sluice.chunk.inspected.v1"
    KIND: ClassVar[str] = "health"

    chunk: ChunkRef
    video: VideoHealth
    audio: AudioHealth | None
    advice: tuple[Advice, ...]
