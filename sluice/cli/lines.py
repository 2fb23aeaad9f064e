"""An event as one line for people."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sluice.contracts.camera import CameraOffline, CameraOnline, ChunksDropped
from sluice.contracts.chunk import ChunkInspected, ChunkStored
from sluice.contracts.detection import ObjectsDetected
from sluice.contracts.envelope import Event
from sluice.contracts.playlist import PlaylistUpdated
from sluice.contracts.rejection import InputRejected

MOST_LABELS: Final = 4


def line(event: Event[Any]) -> str:
    """When, what, of which camera, and the gist of it."""
    kind = event.type.removeprefix("dev.sluice.").removesuffix(".v1")
    return f"{event.time:%H:%M:%S.%f}"[:-3] + f" {event.subject:10} {kind:16} {gist(event)}".rstrip()


def gist(event: Event[Any]) -> str:  # noqa: PLR0911 (one a kind of event)
    """What the event says, in short; an inspection brings a line for each advice."""
    match event.data:
        case ObjectsDetected():
            return _detected(event)
        case ChunkInspected(video=video, advice=advice):
            said = "".join(f"\n    {each.severity} {each.code}: {each.text}" for each in advice)
            return f"{video.codec} {video.width}x{video.height} {video.fps:g} fps{said}"
        case PlaylistUpdated(playlist=playlist):
            return playlist
        case ChunkStored(chunk=chunk):
            return f"{chunk.duration_ms / 1000:g} s, {chunk.size_bytes or 0} bytes, {chunk.activity}"
        case InputRejected(part=part, expected=expected, found=found):
            return f"{part}: expected {expected}, found {found}"
        case CameraOnline() as online:
            return f"{online.codec} {online.width}x{online.height}"
        case CameraOffline(reason=reason, detail=detail):
            return f"{reason}: {detail}" if detail else reason
        case ChunksDropped(chunks=chunks, reason=reason):
            return f"{chunks} chunks, {reason}"
        case other:
            return str(other)


def latency_ms(event: Event[ObjectsDetected]) -> float:
    """From the end of the chunk, so from its last frame, to the event."""
    chunk = event.data.chunk
    ended = chunk.start + timedelta(milliseconds=chunk.duration_ms)
    return (event.time - ended).total_seconds() * 1000


def _detected(event: Event[ObjectsDetected]) -> str:
    found = event.data
    rate = f"{found.sampled_fps:g} fps" + (" (keyframes only)" if found.keyframes_only else "")
    less = f" of {found.wanted_fps:g} wanted" if found.sampled_fps < 0.9 * found.wanted_fps else ""
    seen = ", ".join(_counted(found)) or "nothing"
    return f"{found.model}: {seen} in {len(found.frames)} frames, {rate}{less}, after {latency_ms(event):.0f} ms"


def _counted(found: ObjectsDetected) -> Iterator[str]:
    """The most of each label in one frame, and its best score."""
    most: Counter[str] = Counter()
    best: dict[str, float] = {}
    for frame in found.frames:
        most |= Counter(each.label for each in frame.objects)
        for each in frame.objects:
            best[each.label] = max(best.get(each.label, 0.0), each.score)
    yield from (f"{count} {label} ({best[label]:.2f})" for label, count in most.most_common(MOST_LABELS))
    if len(most) > MOST_LABELS:
        yield f"{len(most) - MOST_LABELS} other labels"
