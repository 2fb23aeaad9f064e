"""What a timeline shows of some chunks: recorded spans, and minutes with activity and labels. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sluice.contracts.index import LabelCount, Minute, Span
from sluice.names import ChunkName
from sluice.recordings.chunks import Recorded

MINUTE_MS: Final = 60_000
JOINED_MS: Final = 1000
"""A hole that nobody would see on a timeline."""
_UNKNOWN: Final = "unknown"
_KNOWN: Final = ("active", "idle")
_NO_LABELS: Final[Mapping[str, LabelCount]] = {}


@dataclass(slots=True)
class Sum:
    """What adds up over chunks, or over minutes."""

    size_bytes: int = 0
    activity_ms: dict[str, int] = field(default_factory=dict)
    labels: dict[str, LabelCount] = field(default_factory=dict)

    def add(self, size_bytes: int, activity_ms: Mapping[str, int], labels: Mapping[str, LabelCount]) -> None:
        """Take another in."""
        self.size_bytes += size_bytes
        for activity, lasted_ms in activity_ms.items():
            self.activity_ms[activity] = self.activity_ms.get(activity, 0) + lasted_ms
        add_labels(self.labels, labels)


def add_labels(to: dict[str, LabelCount], more: Mapping[str, LabelCount]) -> None:
    """Frames add up; of those seen at once the most counts."""
    for label, count in more.items():
        held = to.get(label)
        to[label] = LabelCount(frames=held.frames + count.frames, most=max(held.most, count.most)) if held else count


def activity_of(name: ChunkName) -> str:
    """As minutes count it: what a session's first chunk shows is unknown."""
    return name.activity if name.activity in _KNOWN else _UNKNOWN


def minutes_of(chunks: Iterable[Recorded], labels: Mapping[str, Mapping[str, LabelCount]]) -> tuple[Minute, ...]:
    """By the minute in which a chunk begins; *labels* by stem."""
    sums: dict[int, Sum] = {}
    for each in chunks:
        name = each.name
        at_ms = name.start_ms - name.start_ms % MINUTE_MS
        lasted = {activity_of(name): name.duration_ms}
        sums.setdefault(at_ms, Sum()).add(each.size_bytes, lasted, labels.get(name.stem, _NO_LABELS))
    return tuple(
        Minute(at_ms=at_ms, size_bytes=found.size_bytes, activity_ms=found.activity_ms, labels=found.labels)
        for at_ms, found in sorted(sums.items())
    )


def spans_of(spans: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    """Spans in order, those that touch as one."""
    joined: list[list[int]] = []
    for start_ms, end_ms in spans:
        if joined and start_ms - joined[-1][1] <= JOINED_MS:
            joined[-1][1] = max(joined[-1][1], end_ms)
        else:
            joined.append([start_ms, end_ms])
    return tuple(Span(from_ms=start_ms, to_ms=end_ms) for start_ms, end_ms in joined)
