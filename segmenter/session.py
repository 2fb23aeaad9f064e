"""One session: a run of chunks with one init segment, one zero of media time and one line of wall time."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from segmenter.activity import Activity
from segmenter.chunk import Chunk, metadata
from segmenter.cut import Cut
from segmenter.muxer import ChunkMuxer
from segmenter.stamps import Counts
from segmenter.timeline import Timeline, Verdict
from segmenter.tracks import AnyPacket, SourceTracks, time_of
from sluice.errors import UnusableInputError

OPENING: Final = "opening"
MOST_WAITING: Final = 20
"""Chunks that wait for the timeline to settle, a minute of media: an upload faster than time must not fill memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutChunk:
    """A chunk and what its name will say of it; only the numbers are missing, which are given at upload."""

    chunk: Chunk
    session: int
    """Ordinal of its session, from 1, for this cutter alone; the bucket's is given when it is uploaded."""
    because: str
    """Why its session began: connected, reset, jump, stall, drift, gap, limit, parameters or tracks."""
    activity: str
    """opening, active, idle or unknown."""
    start_ms: int
    duration_ms: int
    held_ms: int

    @property
    def opening(self) -> bool:
        """Whether its session begins with it: its init segment is put first."""
        return self.activity == OPENING

    @property
    def end_ms(self) -> int:
        """Unix milliseconds."""
        return self.start_ms + self.duration_ms

    def spoolable(self, *, camera: str, run: str, traceparent: str | None = None) -> Cut:
        """As the spool takes it; *run* is the cutter's own, so that no two sessions share one."""
        return Cut(
            body=self.chunk.body,
            init_bytes=self.chunk.init_bytes,
            run=f"{run}-{self.session}",
            start_ms=self.start_ms,
            duration_ms=self.duration_ms,
            activity=self.activity,
            metadata=metadata(self.chunk, camera=camera, traceparent=traceparent),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    muxer: ChunkMuxer
    following: "AnyPacket | None"
    reason: str
    activity: str


class Session:
    """From its first keyframe, which must have both times, until the cutter drops it."""

    def __init__(
        self,
        keyframe: AnyPacket,
        tracks: SourceTracks,
        *,
        timeline: Timeline,
        numbers: Iterator[int],
        because: str,
        counts: Counts,
    ) -> None:
        self.timeline = timeline
        self.doomed: str | None = None
        """Why it ends at the next cut."""
        self.zero = time_of(keyframe)
        self._tracks, self._numbers, self._because, self._counts = tracks, numbers, because, counts
        self._number = 0
        self._init = b""
        self._anchor_ms: int | None = None
        self._waiting: list[_Waiting] = []
        self._muxer = ChunkMuxer(tracks)
        self._last_dts = keyframe.dts or 0
        # Decoding time is steady where B-frames are not; moved so that it is the time shown at a keyframe.
        self._reorder = (keyframe.pts or 0) - (keyframe.dts or 0)
        self._tick_s = float(keyframe.time_base)
        self._start_pts = keyframe.pts or 0

    def saw(self, received: float, packet: AnyPacket) -> Verdict | None:
        """Let the timeline judge a packet."""
        return self.timeline.saw(received, ((packet.dts or 0) + self._reorder) * self._tick_s)

    def elapsed_s(self, packet: AnyPacket) -> float:
        """How much of the open chunk lies before *packet*."""
        return ((packet.pts or 0) - self._start_pts) * self._tick_s

    def gap_s(self, packet: AnyPacket) -> float:
        """Since the video packet before."""
        return ((packet.dts or 0) - self._last_dts) * self._tick_s

    def shown_before(self, packet: AnyPacket) -> bool:
        """Whether it needs frames from before the session."""
        return self._muxer.opens_session and (packet.pts or 0) < self._start_pts

    def add(self, packet: AnyPacket, activity: Activity | None) -> None:
        """Take a packet into the open chunk; *activity* for video."""
        if activity is not None:
            self._last_dts = packet.dts or 0
            activity.seen(packet.size, keyframe=packet.is_keyframe)
        self._muxer.add(packet)

    def cut(self, keyframe: AnyPacket, activity: Activity) -> None:
        """End the open chunk where *keyframe* begins the next; that is added then."""
        before = self._muxer
        self._muxer = ChunkMuxer(self._tracks, zero=self.zero, sound=before.sound_from(time_of(keyframe)))
        self._shut(before, keyframe, "keyframe", activity)
        self._start_pts = keyframe.pts or 0
        self.add(keyframe, activity)

    def end(self, following: "AnyPacket | None", reason: str, activity: Activity) -> list[CutChunk]:
        """End the session with its open chunk."""
        self._shut(self._muxer, following, reason, activity)
        return self._placed()

    def ready(self) -> list[CutChunk]:
        """The chunks whose time is known well enough."""
        if not self._waiting or not (self.timeline.settled or len(self._waiting) >= MOST_WAITING):
            return []
        return self._placed()

    def _shut(self, muxer: ChunkMuxer, following: "AnyPacket | None", reason: str, activity: Activity) -> None:
        self._waiting.append(_Waiting(muxer=muxer, following=following, reason=reason, activity=activity.chunk()))

    def _placed(self) -> list[CutChunk]:
        waiting, self._waiting = self._waiting, []
        return [chunk for each in waiting if (chunk := self._place(each)) is not None]

    def _place(self, each: _Waiting) -> CutChunk | None:
        start = each.muxer.start or Fraction(0)
        placed = self.timeline.place(float(start), float(each.muxer.end(each.following)))
        if self._anchor_ms is None:
            self._anchor_ms = placed.start_ms
        try:
            chunk = each.muxer.close(following=each.following, reason=each.reason, anchor_ms=self._anchor_ms)
        except UnusableInputError:
            self._counts.unwritable += each.muxer.frames  # one camera's nonsense ends one chunk, not the process
            return None
        init = chunk.init
        opening = init != self._init
        if opening:
            # Sound that sets in late changes the tracks; a session has one init segment.
            self._because = "tracks" if self._init else self._because
            self._init, self._number = init, next(self._numbers)
        return CutChunk(
            chunk=chunk,
            session=self._number,
            because=self._because,
            activity=OPENING if opening else each.activity,
            start_ms=placed.start_ms,
            duration_ms=placed.duration_ms,
            held_ms=placed.held_ms,
        )
