"""A camera's live playlist lists what the bucket has.

in    ChunkStored (every activity)
out   PlaylistUpdated, when the playlist has grown
"""

from typing import Any, Final

from functions.package.index import update_index
from functions.package.playlists import LivePlaylists
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.fold import fold
from sluice.store import ObjectStore

FUNCTION: Final = "package"


def handle(event: Event[ChunkStored], *, store: ObjectStore, bus: Bus) -> Event[Any] | None:
    """List the chunk, and whatever else is not listed yet."""
    playlists = LivePlaylists(event.data, store=store, function=FUNCTION)
    playlist, told = fold(event.data.chunk, playlists, store=store, bus=bus)
    # Behind the playlist: who plays already never reads it again.
    update_index(playlist, playlists, store=store)
    return told
