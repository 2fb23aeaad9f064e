"""Packets in, chunks out: where a chunk and where a session ends; no sockets, no threads, no clock of its own."""

from itertools import count

from segmenter.activity import Activity
from segmenter.muxer import LIMIT_S, TARGET_S
from segmenter.session import CutChunk, Session
from segmenter.stamps import Counts, Stamps
from segmenter.timeline import Timeline
from segmenter.tracks import AnyPacket, SourceTracks

__all__ = ["Counts", "CutChunk", "Cutter"]


class Cutter:
    """One a camera, for ever: connect() each connection's tracks, add() its packets, end() it.

    A chunk starts at a random-access point, always. Where none comes for *limit_s* the chunk ends with reason `limit`
    and what follows is dropped and counted up to the next one: memory is bounded, and nobody gets what cannot be shown.
    """

    def __init__(
        self, *, epoch_s: float, floor_ms: int = 0, target_s: float = TARGET_S, limit_s: float = LIMIT_S
    ) -> None:
        """*epoch_s*: the Clock's; *floor_ms*: end of the camera's newest chunk, before which none starts."""
        self.counts = Counts()
        self._epoch_s, self._floor_ms = epoch_s, floor_ms
        self.target_s = target_s
        """May be changed at any time."""
        self._limit_s = limit_s
        self._numbers = count(1)
        self._activity = Activity()
        self._because = "connected"
        self._tracks: SourceTracks | None = None
        self._stamps: Stamps | None = None
        self._segmented = False
        self._session: Session | None = None

    @property
    def error_s(self) -> float:
        """How far the camera's clock has moved against ours in this session."""
        return self._session.timeline.error_s if self._session else 0.0

    def connect(self, tracks: SourceTracks, *, segmented: bool = False) -> list[CutChunk]:
        """Take the tracks of a new connection, *segmented* as Timeline has it; returns what the former one left."""
        left = self._ended("connected")
        self._tracks, self._segmented = tracks, segmented
        self._stamps = Stamps(tracks.video_time_base, tracks.audio_time_base, self.counts)
        return left

    def end(self) -> list[CutChunk]:
        """Close what is open: the source is gone, or the process stops."""
        return self._ended("connected")

    def add(self, packet: AnyPacket, received: float) -> list[CutChunk]:
        """Take a packet and the monotonic time at which it came; returns the chunks that are complete with it."""
        if self._tracks is None or self._stamps is None:
            raise ValueError("connect() comes before add()")
        if self._tracks.is_video(packet):
            return self._add_video(packet, received, self._stamps)
        if self._session is not None and self._stamps.sound(packet):
            self._session.add(packet, None)
        return []

    def _add_video(self, packet: AnyPacket, received: float, stamps: Stamps) -> list[CutChunk]:
        fate = stamps.video(packet)
        if fate == "drop":
            return []
        cut = self._ended("reset") if fate == "reset" else []
        if packet.is_keyframe:
            cut += self._renewed(packet)
        if self._session is not None:
            cut += self._continued(self._session, packet, received)
        elif packet.is_keyframe:
            self._begin(packet, received)
        else:
            self.counts.waiting += 1
        return cut

    def _continued(self, session: Session, packet: AnyPacket, received: float) -> list[CutChunk]:
        """The packet goes into the session's open chunk, begins its next, or ends it."""
        elapsed = session.elapsed_s(packet)
        verdict = session.saw(received, packet)
        if session.gap_s(packet) > self._limit_s:
            return self._restarted("gap", packet, received)
        if verdict is not None and verdict.reason == "jump":
            return self._restarted("jump", packet, received)
        if verdict is not None:
            session.doomed = session.doomed or verdict.reason  # no frame is lost when it waits for the cut
        if packet.is_keyframe and session.doomed:
            return self._restarted(session.doomed, packet, received, following=packet, reason="keyframe")
        if packet.is_keyframe and elapsed >= self.target_s:
            session.cut(packet, self._activity)
        elif elapsed >= self._limit_s:
            return self._restarted("limit", packet, received, following=packet, reason="limit")
        else:
            self.counts.dropped += session.shown_before(packet)
            session.add(packet, self._activity)
        return session.ready()

    def _restarted(
        self,
        because: str,
        packet: AnyPacket,
        received: float,
        *,
        following: "AnyPacket | None" = None,
        reason: str = "end",
    ) -> list[CutChunk]:
        cut = self._ended(because, following=following, reason=reason)
        if packet.is_keyframe:
            self._begin(packet, received)
        else:
            self.counts.waiting += 1
        return cut

    def _renewed(self, keyframe: AnyPacket) -> list[CutChunk]:
        tracks = self._tracks.renewed(keyframe) if self._tracks is not None else None
        if tracks is None:
            return []
        cut = self._ended("parameters", following=keyframe, reason="keyframe")
        self._tracks = tracks
        self._activity.forget()
        return cut

    def _begin(self, keyframe: AnyPacket, received: float) -> None:
        if self._tracks is None:
            return
        timeline = Timeline(epoch_s=self._epoch_s, floor_ms=self._floor_ms, segmented=self._segmented)
        self._session = Session(
            keyframe, self._tracks, timeline=timeline, numbers=self._numbers, because=self._because, counts=self.counts
        )
        self._session.saw(received, keyframe)
        self._session.add(keyframe, self._activity)

    def _ended(self, because: str, *, following: "AnyPacket | None" = None, reason: str = "end") -> list[CutChunk]:
        session, self._session = self._session, None
        self._because = because
        if session is None:
            return []
        cut = session.end(following, reason, self._activity)
        self._floor_ms = max([self._floor_ms, *(each.end_ms for each in cut)])
        return cut
