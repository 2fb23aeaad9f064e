"""Chunks as one file that begins at 0: their init segment and their media parts, of which only clocks are changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Final

from sluice.errors import SluiceError
from sluice.names import ChunkName
from sluice.recordings import fragment
from sluice.recordings.chunks import Recorded
from sluice.recordings.fragment import Fragment, Track
from sluice.recordings.vod import follows
from sluice.store import ObjectStore

MAX_INIT_BYTES: Final = 1 << 20
WINDOW: Final = 2 << 20
"""Read from the store at once; a chunk's moof is some KiB."""


@dataclass
class SplitClipError(SluiceError):
    """Raised when the pictures of a range cannot stand in one file without encoding them anew."""

    camera: str
    parts: tuple[tuple[int, int], ...]
    """From and to of each run that can."""

    def __str__(self) -> str:
        return f"{self.camera} changed its codec, size or sound meanwhile: ask for each of the {len(self.parts)} parts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A file that is made while it is read."""

    chunks: tuple[Recorded, ...]
    init: bytes = field(repr=False)
    """The chunks' own."""
    head: bytes = field(repr=False)
    """The file's."""

    @property
    def start_ms(self) -> int:
        """Wall time of its first frame."""
        return self.chunks[0].name.start_ms

    @property
    def size_bytes(self) -> int:
        """Of the file."""
        return len(self.head) + sum(each.size_bytes - len(self.init) for each in self.chunks)

    def pieces(self, store: ObjectStore) -> Iterator[bytes]:
        """The file, in pieces of bounded size; the first is made of the first chunk, too."""
        clock = _Clock(fragment.tracks_of(self.init, where=self.chunks[0].name.init_key))
        # VLC expects the first fragment to have the number 0, and complains of any other; nobody else minds.
        for number, each in enumerate(self.chunks):
            at = len(self.init)
            while at < each.size_bytes:
                last = min(at + WINDOW, each.size_bytes) - 1
                piece = store.get(each.name.key, first=at, last=last).body
                if at == len(self.init):
                    piece = clock.set(piece, each.name, number)
                yield self.head + piece if number == 0 and at == len(self.init) else piece
                at = last + 1


def clip_of(store: ObjectStore, chunks: Sequence[Recorded]) -> Clip:
    """The clip of some chunks, at least one; raises SplitClipError, and ObjectNotFoundError without an init segment."""
    runs = [list(run) for _, run in groupby(chunks, key=lambda each: each.name.init)]
    first = chunks[0].name
    if len(runs) > 1:
        parts = tuple((run[0].name.start_ms, run[-1].name.end_ms) for run in runs)
        raise SplitClipError(first.camera, parts)
    init = store.get(first.init_key, limit=MAX_INIT_BYTES).body
    playable = tuple(each for each in chunks if each.size_bytes > len(init))
    duration_ms = sum(each.name.duration_ms for each in playable)
    head = fragment.lasting(init, duration_ms=duration_ms, start_ms=first.start_ms, where=first.init_key)
    return Clip(chunks=playable, init=init, head=head)


class _Clock:
    """Where the file stands: what follows keeps its distance, and a hole or another session takes no time."""

    def __init__(self, tracks: Mapping[int, Track]) -> None:
        self._tracks = tracks
        self._ends: dict[int, int] = {}
        self._behind = Fraction(0)
        """Seconds that the file's clock is behind the chunks'."""
        self._before: ChunkName | None = None

    def set(self, head: bytes, name: ChunkName, number: int) -> bytes:
        """The beginning of a media part, at its time in the file."""
        found = fragment.read(head, self._tracks, where=name.key)
        if self._before is None or not follows(self._before, name):
            self._behind = found.start(self._tracks) - self._end()
        self._before = name
        return fragment.moved(head, found, self._times(found), number=number)

    def _end(self) -> Fraction:
        ends = (Fraction(end, self._tracks[track].timescale) for track, end in self._ends.items())
        return max(ends, default=Fraction(0))

    def _times(self, found: Fragment) -> dict[int, int]:
        times: dict[int, int] = {}
        for run in found.runs:
            shift = round(self._behind * self._tracks[run.track].timescale)
            # Never back: a sound that is longer than its picture would overlap with the next.
            times[run.track] = max(run.decode_time - shift, self._ends.get(run.track, 0))
            self._ends[run.track] = times[run.track] + run.duration
        return times
