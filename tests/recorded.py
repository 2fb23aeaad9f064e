"""A camera's recordings as the segmenter leaves them: sessions of real chunks, cut from the test pattern."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from segmenter.muxer import Chunk, ChunkMuxer, opened
from segmenter.pattern import pattern_clip
from segmenter.tracks import SourceTracks
from sluice.names import ChunkName
from sluice.store import ObjectStore
from tests.builders import NOON_MS

CHUNK_MS = 2000
FRAMES = 50
"""In each chunk."""


def record(
    store: ObjectStore,
    camera: str = "gate",
    *,
    start_ms: int = NOON_MS,
    chunks: int = 4,
    session: int = 1,
    first_seq: int = 1,
    activity: str = "active",
    **source: Any,
) -> list[ChunkName]:
    """Put a session of *chunks* chunks of two seconds, and their init segment; *source* is pattern_clip's."""
    names = list[ChunkName]()
    for number, chunk in enumerate(_session(chunks, start_ms, tuple(sorted(source.items())))):
        name = ChunkName(
            start_ms=start_ms + number * CHUNK_MS,
            duration_ms=chunk.duration_ms,
            session=session,
            seq=first_seq + number,
            activity=activity,
            init=chunk.init8,
            camera=camera,
        )
        store.put(name.init_key, chunk.init, content_type="video/mp4")
        said = {"open-gop": "true" if chunk.open_gop else "false"}
        store.put(name.key, chunk.body, content_type="video/mp4", metadata=said)
        names.append(name)
    return names


@cache
def _session(count: int, anchor_ms: int, source: tuple[tuple[str, Any], ...]) -> Sequence[Chunk]:
    clip = pattern_clip(**{"size": (320, 180), "gop": 50, "seconds": count * 2, "audio": True, **dict(source)})
    made = list[Chunk]()
    with opened(clip) as container:
        tracks = SourceTracks(container, "camera")
        muxer = ChunkMuxer(tracks, anchor_ms=anchor_ms)
        zero = None
        for packet in container.demux():
            full = tracks.is_video(packet) and packet.is_keyframe and muxer.elapsed_s(packet) >= CHUNK_MS / 1000
            if full:
                made.append(muxer.close(following=packet, reason="keyframe"))
                zero = made[0].start
                muxer = ChunkMuxer(tracks, anchor_ms=anchor_ms, zero=zero)
            muxer.add(packet)
        made.append(muxer.close())
    return made
