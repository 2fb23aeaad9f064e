"""What tests are made of: chunks, their names, events and findings, with only the field that matters spelled out."""

from functools import cache
from typing import Any

from segmenter.muxer import Chunk, one_chunk
from segmenter.pattern import pattern_clip
from sluice import events
from sluice.contracts.chunk import ChunkInspected, ChunkRef, ChunkStored, VideoHealth
from sluice.contracts.envelope import Event
from sluice.names import ChunkName, event_id
from sluice.references import reference

NOON_MS = 1_795_262_400_000
"""2026-11-21 12:00 UTC."""
INIT8 = "0a1b2c3d"


def a_chunk_name(
    camera: str = "gate",
    *,
    start_ms: int = NOON_MS,
    duration_ms: int = 2000,
    session: int = 1,
    seq: int = 1,
    activity: str = "opening",
    init: str = INIT8,
) -> ChunkName:
    """A session's first chunk."""
    return ChunkName(
        start_ms=start_ms,
        duration_ms=duration_ms,
        session=session,
        seq=seq,
        activity=activity,
        init=init,
        camera=camera,
    )


@cache
def a_small_chunk() -> Chunk:
    """Two seconds of the test pattern, 320x180."""
    return one_chunk(pattern_clip(size=(320, 180), gop=25, seconds=2, audio=True), anchor_ms=NOON_MS)


def a_chunk() -> tuple[str, bytes]:
    """What a chunk's name says of its init segment, and its bytes."""
    chunk = a_small_chunk()
    return chunk.init8, chunk.body


def a_chunk_ref(camera: str = "gate", **changes: Any) -> ChunkRef:
    """A reference to the chunk that a_chunk_name names; changes are the name's."""
    return reference(a_chunk_name(camera, **changes), bucket="sluice")


def a_chunk_stored(
    camera: str = "gate", *, metadata: dict[str, str] | None = None, **changes: Any
) -> Event[ChunkStored]:
    """The event that announces it, as the bridge makes it; changes are the name's."""
    chunk = a_chunk_ref(camera, **changes)
    return events.new(
        ChunkStored(chunk=chunk, metadata=metadata or {}),
        part="bridge",
        camera=camera,
        event_id=event_id(ChunkStored.TYPE, chunk.key, 0),
        time=chunk.start,
        sequence=chunk.seq,
        activity=chunk.activity,
        attempt=0,
    )


def a_video_health(**changes: Any) -> VideoHealth:
    """A camera that nobody would complain of."""
    healthy = {
        "codec": "h264",
        "profile": "High",
        "width": 1280,
        "height": 720,
        "fps": 25.0,
        "frames": 75,
        "keyframes": 2,
        "gop_frames": 50,
        "b_frames": False,
        "open_gop": False,
        "bitrate_bps": 2_000_000,
        "gaps": 0,
        "longest_gap_ms": 0,
    }
    return VideoHealth(**{**healthy, **changes})


def an_inspection(chunk: ChunkRef, **changes: Any) -> ChunkInspected:
    """What the camera doctor says of a good camera; changes are those of its video."""
    return ChunkInspected(chunk=chunk, video=a_video_health(**changes), audio=None, advice=())
