"""What a session's stream is, from its chunks' metadata: the event's, or asked for where the event has none."""

from collections.abc import Mapping, Sequence

from sluice.contracts.chunk import ChunkStored
from sluice.errors import ObjectNotFoundError
from sluice.fold import Input
from sluice.hls.playlist import MediaPlaylist
from sluice.names import ChunkName, parse_chunk_key
from sluice.store import ObjectStore


class Metadata:
    """Of one event, and of chunks of other sessions that come along with it."""

    def __init__(self, stored: ChunkStored, store: ObjectStore) -> None:
        self._name, self._store = parse_chunk_key(stored.chunk.key), store
        self._known: dict[int, Mapping[str, str]] = {}
        if "codec" in stored.metadata:
            self._known[self._name.session] = stored.metadata

    def of(self, name: ChunkName) -> Mapping[str, str]:
        """Of the chunk's session."""
        if name.session not in self._known:
            try:
                self._known[name.session] = self._store.get(name.key, first=0, last=0).metadata
            except ObjectNotFoundError:
                return {}
        return self._known[name.session]

    def independent(self, playlist: MediaPlaylist, inputs: Sequence[Input]) -> bool:
        """False when one of the inputs begins with frames that need the chunk before it.

        Asked for only where a session begins; within one, a chunk's own event says it, if anybody does.
        """
        last = playlist.entries[-1].session if playlist.entries else None
        asked = [each.name for each in inputs if each.name.session in self._known]
        for each in inputs:
            if each.name.session != last:
                asked.append(each.name)
                last = each.name.session
        return all(self.of(name).get("open-gop") != "true" for name in asked)
