"""What a camera's live playlist has now."""

from dataclasses import dataclass
from typing import ClassVar

from sluice.contracts.chunk import ChunkRef


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaylistUpdated:
    """The live playlist has grown; once for all chunks that were listed with the same write."""

    TYPE: ClassVar[str] = "dev.sluice.playlist.updated.v1"
    KIND: ClassVar[str] = "playlists"

    chunk: ChunkRef
    """The newest of them."""
    playlist: str
    """Object key of the live playlist."""
    index: str
    """Object key of the playlist that a player opens."""
    target_duration: int
    """Whole seconds; no entry is longer."""
    first_seq: int
    """Its oldest entry."""
    listed: int = 1
    """How many chunks came with this write."""
    missing: tuple[int, ...] = ()
    """Numbers that came with it of which there is no chunk; players skip them."""
    too_long: tuple[int, ...] = ()
    """Numbers of chunks that are recorded and not live: a GOP is longer than live playback stands."""
