"""A camera's live playlist lists what the bucket has.

in    ChunkStored (every activity)
out   PlaylistUpdated, when the playlist has grown
"""

from typing import Any, Final

from functions.package.index import Index
from functions.package.metadata import Metadata
from functions.package.playlists import LivePlaylists
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.fold import fold
from sluice.store import ObjectStore

FUNCTION: Final = "package"


def handle(event: Event[ChunkStored], *, store: ObjectStore, bus: Bus) -> Event[Any] | None:
    """List the chunk, and whatever else is not listed yet."""
    chunk = event.data.chunk
    metadata = Metadata(event.data, store)
    playlists = LivePlaylists(chunk, function=FUNCTION, store=store, metadata=metadata)
    playlist, told = fold(chunk, playlists, store=store, bus=bus)
    # Behind the playlist: who plays already never reads it again.
    Index(chunk.camera, store).update(playlist, metadata)
    return told
