"""A range of a camera's recordings as a playlist that is complete: one may seek in it, and nothing is ever added."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from sluice.errors import ObjectNotFoundError
from sluice.hls.playlist import Entry, MediaPlaylist
from sluice.names import ChunkName
from sluice.recordings.chunks import Recorded
from sluice.store import ObjectStore

ROOT: Final = "../../"
"""From vod/<camera>/ to the keys."""
HOLE_MS: Final = 500
"""Within a session, more than a name's rounding: a chunk is missing."""
MOST_ASKED: Final = 16
"""Chunks whose metadata is asked for, of a playlist; a camera that restarts all day has more sessions."""


def follows(before: ChunkName, after: ChunkName) -> bool:
    """Whether the second chunk goes on where the first ends, in the same clock: one stream."""
    same = before.session == after.session and before.init == after.init
    return same and after.seq == before.seq + 1 and after.start_ms - before.end_ms <= HOLE_MS


def playlist(
    chunks: Iterable[Recorded], init_sizes: Mapping[str, int], *, root: str = ROOT, independent: bool = False
) -> MediaPlaylist:
    """Of chunks in order; after a hole, or in another session, there is a discontinuity.

    A hole has no entries: FFmpeg's reader (5.1) opens a gap all the same and warns that it is not there, and the next
    entry's time says where it goes on. One without its init segment cannot be played, and is left out.
    """
    entries, part = list[Entry](), 0
    before: ChunkName | None = None
    for each in chunks:
        name, offset = each.name, init_sizes.get(each.name.init_key)
        if offset is None or offset >= each.size_bytes:
            continue
        part += before is not None and not follows(before, name)
        before = name
        entries.append(
            Entry(
                seq=len(entries),
                session=part,
                start_ms=name.start_ms,
                duration_ms=name.duration_ms,
                uri=f"{root}{name.key}",
                init_uri=f"{root}{name.init_key}",
                byterange=(each.size_bytes - offset, offset),
            )
        )
    longest_ms = max((entry.duration_ms for entry in entries), default=1000)
    return MediaPlaylist(
        target_duration=max(1, (longest_ms + 500) // 1000),
        entries=tuple(entries),
        independent=independent,
        ended=True,
        kind="VOD",
    )


def are_independent(store: ObjectStore, chunks: Sequence[Recorded]) -> bool:
    """True when each can be decoded alone, by what the first and the last of each session say of their GOPs.

    An encoder keeps its kind of GOP while it is connected. Nobody needs the tag: it is left out where that is unknown.
    """
    asked = list[ChunkName]()
    for _, run in groupby(chunks, key=lambda each: each.name.session):
        names = [each.name for each in run]
        asked += dict.fromkeys([names[0], names[-1]])
        if len(asked) > MOST_ASKED:
            return False
    try:
        return all(store.get(name.key, first=0, last=0).metadata.get("open-gop") == "false" for name in asked)
    except ObjectNotFoundError:
        return False  # retention was faster


def init_sizes(store: ObjectStore, camera: str) -> dict[str, int]:
    """By key, of all that the camera ever had."""
    return {each.key: each.size_bytes for each in store.list(f"init/{camera}/")}
