"""A camera's chunks in a bucket, package beside them, and every write of a playlist checked against the one before."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from functions.package.handler import handle
from sluice import events, names
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.contracts.playlist import PlaylistUpdated
from sluice.hls import multivariant
from sluice.names import ChunkName
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from tests.builders import INIT8, NOON_MS, a_chunk_name, a_chunk_stored
from tests.playlists import Refresh, Refreshes, read

METADATA = {"codec": "avc1.64001f,mp4a.40.2", "width": "1280", "height": "720", "fps": "25", "open-gop": "false"}
INIT = b"i" * 1000
CAMERA = "gate"


@dataclass(slots=True, kw_only=True)
class WatchedStore(MemoryStore):
    """Reads every playlist at once when it is written, as the quickest player would."""

    refreshes: dict[str, Refreshes] = field(default_factory=lambda: defaultdict(Refreshes))

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        etag = MemoryStore.create(self, key, body, content_type=content_type, cache_control=cache_control)
        self._seen(key, body)
        return etag

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        new = MemoryStore.replace(self, key, body, etag=etag, content_type=content_type, cache_control=cache_control)
        self._seen(key, body)
        return new

    def _seen(self, key: str, body: bytes) -> None:
        if "/live-" in key:
            self.refreshes[key].see(body.decode())


@dataclass(kw_only=True)
class Gate:
    """One camera and what becomes of it."""

    store: WatchedStore = field(default_factory=WatchedStore)
    bus: MemoryBus = field(default_factory=MemoryBus)
    chunks: list[ChunkName] = field(default_factory=list)
    """In order of upload."""

    def put(
        self, *, pause_ms: int = 0, session: int = 0, skip: int = 0, metadata: Any = METADATA, **named: Any
    ) -> ChunkName:
        """The camera's next chunk: three seconds, right behind the last."""
        last = self.chunks[-1] if self.chunks else a_chunk_name(start_ms=NOON_MS - 3000, duration_ms=3000, seq=0)
        new: dict[str, Any] = {
            "start_ms": last.end_ms + pause_ms,
            "duration_ms": 3000,
            "session": last.session + session,
            "seq": last.seq + 1 + skip,
            "activity": "active",
            "init": last.init,
        }
        name = a_chunk_name(CAMERA, **{**new, **named})
        self.chunks.append(name)
        self.store.put(name.init_key, INIT)
        self.store.put(name.key, INIT + b"m" * (name.duration_ms * 100), metadata=metadata)
        return name

    def event(self, name: ChunkName, *, metadata: Any = METADATA) -> Event[ChunkStored]:
        """As the bridge announces it."""
        facts = {
            each: getattr(name, each) for each in ("start_ms", "duration_ms", "session", "seq", "activity", "init")
        }
        made = a_chunk_stored(CAMERA, metadata=metadata, **facts)
        size = 1000 + name.duration_ms * 100
        return replace(made, data=replace(made.data, chunk=replace(made.data.chunk, size_bytes=size)))

    def announce(self, name: ChunkName, *, metadata: Any = METADATA) -> Event[PlaylistUpdated] | None:
        """Package is told of it, and answers."""
        return handle(self.event(name, metadata=metadata), store=self.store, bus=self.bus)

    def add(self, count: int = 1, **named: Any) -> None:
        """Chunks that are put and announced as they should be."""
        for _ in range(count):
            self.announce(self.put(**named))

    def lose(self, key: str = "") -> None:
        """Somebody deletes a live playlist."""
        key = key or names.live_playlist_key(CAMERA, 4)
        self.store.delete([key])
        self.store.refreshes[key].lose()

    def live(self, target_duration: int = 4) -> Refresh:
        """The live playlist as a player reads it."""
        return read(self.store.get(names.live_playlist_key(CAMERA, target_duration)).body.decode())

    @property
    def index(self) -> multivariant.Variant:
        """What a player opens."""
        return multivariant.parse(self.store.get(names.multivariant_key(CAMERA)).body.decode())

    def told(self) -> list[PlaylistUpdated]:
        """What was told, in order; once each."""
        return [events.from_nats(each.headers, each.payload, PlaylistUpdated).data for each in self.bus.published]


def numbers(refresh: Refresh) -> list[int]:
    """Of its entries; those of gaps are negative."""
    return [-each.number if each.gap else each.number for each in refresh.entries]


__all__ = ["CAMERA", "INIT8", "METADATA", "Gate", "WatchedStore", "numbers"]
