"""What was recorded of a camera within an hour, in one object: index/<camera>/<YYYY-MM-DD>/<HH>.json."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """How much of a label was seen."""

    frames: int
    """That were looked at and show at least one."""
    most: int
    """In one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedChunk:
    """A chunk of the hour."""

    stem: str
    """The last part of its key, without the suffix."""
    size_bytes: int
    labels: dict[str, dict[str, LabelCount]] = field(default_factory=dict)
    """By model and label; a model that has said nothing yet is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Recorded without a hole."""

    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """Of the chunks that begin within it."""

    at_ms: int
    size_bytes: int
    activity_ms: dict[str, int]
    """How long each activity lasted: active, idle, unknown."""
    labels: dict[str, LabelCount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSummary:
    """What a timeline needs of an hour."""

    closed: bool
    """False: the hour goes on, and what is newer than the index is found by listing."""
    spans: tuple[Span, ...]
    minutes: tuple[Minute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HourIndex:
    """All of an hour; a part of it can be read as HourSummary."""

    camera: str
    closed: bool
    listed: int
    """Chunks that the listing showed, those of a fenced segmenter, too."""
    newest_ms: int
    """When the store got the newest of them."""
    size_bytes: int
    sessions: tuple[int, ...]
    labels: dict[str, LabelCount]
    spans: tuple[Span, ...]
    minutes: tuple[Minute, ...]
    chunks: tuple[IndexedChunk, ...]
    """In order of their starts, none of a session that another had fenced off."""
