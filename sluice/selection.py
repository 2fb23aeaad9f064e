"""Which streams and subjects hold the events of some kinds and cameras."""

from collections.abc import Collection

from sluice.errors import InvalidNameError
from sluice.names import subject
from sluice.topology import CHUNKS, RESULTS, Stream


def kinds() -> tuple[str, ...]:
    """Every kind of event that somebody may want."""
    return tuple(sorted(kind for stream in (RESULTS, CHUNKS) for kind in _held(stream)))


def streams_of(wanted: Collection[str], cameras: Collection[str]) -> dict[Stream, tuple[str, ...]]:
    """The streams that hold these kinds and cameras, and what to take of each; none of either named: all of them."""
    unknown = sorted(set(wanted) - set(kinds()))
    if unknown:
        raise InvalidNameError("kind", ", ".join(unknown), f"some of {', '.join(kinds())}")
    found = {}
    for stream in (RESULTS, CHUNKS):
        some = [kind for kind in _held(stream) if kind in wanted or not wanted]
        if some:
            found[stream] = tuple(_filters(some, cameras, every=len(some) == len(stream.subjects)))
    return found


def _held(stream: Stream) -> list[str]:
    return [name.split(".")[2] for name in stream.subjects]


def _filters(some: Collection[str], cameras: Collection[str], *, every: bool) -> list[str]:
    if not cameras:
        return [] if every else [f"sluice.v1.{kind}.*" for kind in some]
    if every:
        return [f"sluice.v1.*.{subject('all', camera).rpartition('.')[2]}" for camera in cameras]
    return [subject(kind, camera) for kind in some for camera in cameras]
