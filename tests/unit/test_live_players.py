"""FFmpeg as a player of a live playlist that grows while it reads, over a camera's restarts."""

import subprocess
from dataclasses import dataclass, field, replace
from typing import Any

from functions.package.handler import handle
from sluice import names
from sluice.hls.playlist import parse, render
from sluice.names import ChunkName
from sluice.store import StoredObject
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_chunk_stored
from tests.playlists import AGAIN
from tests.recorded import FRAMES, record
from tests.services.served import served
from tests.viewers import Gateway

CAMERA = "gate"
LIVE = names.live_playlist_key(CAMERA, 4)
AT_FIRST = 3


@dataclass(slots=True, kw_only=True)
class GrowingStore(MemoryStore):
    """Whenever a player has read the live playlist, one chunk more comes; the end stands behind the last."""

    camera: MemoryStore = field(default_factory=MemoryStore)
    """What it has recorded."""
    coming: list[ChunkName] = field(default_factory=list)
    is_packaging: bool = False

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        found = MemoryStore.get(self, key, first=first, last=last, limit=limit)
        if key == LIVE and not self.is_packaging:
            self.come()
        return found

    def come(self) -> None:
        """The next chunk, or the end."""
        self.is_packaging = True
        if self.coming:
            name = self.coming.pop(0)
            for key in (name.init_key, name.key):
                found = self.camera.get(key)
                self.put(key, found.body, metadata=found.metadata)
            handle(announced(name, len(found.body)), store=self, bus=MemoryBus())
        else:
            ended = replace(parse(self.get(LIVE).body.decode()), ended=True)
            self.put(LIVE, render(ended).encode())
        self.is_packaging = False


def announced(name: ChunkName, size_bytes: int) -> Any:
    facts = {each: getattr(name, each) for each in ("start_ms", "duration_ms", "session", "seq", "activity", "init")}
    event = a_chunk_stored(name.camera, **facts)
    return replace(event, data=replace(event.data, chunk=replace(event.data.chunk, size_bytes=size_bytes)))


def played(store: GrowingStore) -> tuple[int, set[str]]:
    """The pictures that FFmpeg decodes from three chunks before the edge to the end, and what it says."""
    for _ in range(AT_FIRST):
        store.come()
    command = ["ffprobe", "-v", "warning", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]
    with served(Gateway(store=store)) as address:
        url = f"{address}/{names.multivariant_key(CAMERA)}"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=60)
    lines = (line.rpartition("] ")[2].strip() for line in done.stderr.splitlines())
    said = {line for line in lines if line and not line.startswith("Last message repeated")}
    return int(done.stdout.split()[0].strip(",")), said


def test_ffmpeg_plays_on_over_refreshes_and_a_restart() -> None:
    """To the end; where an init segment has no length, it waits for the rest of a range that is none for ever."""
    store = GrowingStore()
    store.coming = record(store.camera, chunks=3, bf=2)
    store.coming += record(store.camera, chunks=2, bf=2, session=2, first_seq=4, start_ms=NOON_MS + 20_000)
    count = len(store.coming)

    frames, said = played(store)

    assert frames == count * FRAMES
    assert said <= {AGAIN}


def test_a_restart_in_the_list_is_no_news_to_ffmpeg() -> None:
    """A player that joins behind it, and reads no refresh, is told nothing."""
    store = GrowingStore()
    store.coming = record(store.camera, chunks=2, bf=2)
    store.coming += record(store.camera, chunks=1, bf=2, session=2, first_seq=3, start_ms=NOON_MS + 20_000)
    for _ in range(len(store.coming) + 1):
        store.come()

    frames, said = played(store)

    assert (frames, said) == (AT_FIRST * FRAMES, set())
