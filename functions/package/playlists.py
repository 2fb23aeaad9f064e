"""The live playlist as a fold's state: the object that players read is all that there is to remember."""

import logging
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

from functions.package.metadata import Metadata
from sluice import events, names, telemetry
from sluice.contracts.chunk import ChunkRef
from sluice.contracts.envelope import Event
from sluice.contracts.playlist import PlaylistUpdated
from sluice.fold import Held, Input
from sluice.hls import live
from sluice.hls.current import current
from sluice.hls.playlist import CONTENT_TYPE, MediaPlaylist, render
from sluice.names import ChunkName
from sluice.references import reference
from sluice.store import ObjectStore

CACHE: Final = "max-age=1"
"""A cache in front spares the store its thousand viewers; half a target duration would be the most."""

log = logging.getLogger("functions.package")


class LivePlaylists:
    """Of one camera; when its chunks grow, another list goes on where one ends."""

    def __init__(self, chunk: ChunkRef, *, function: str, store: ObjectStore, metadata: Metadata) -> None:
        self._camera, self._bucket, self._function = chunk.camera, chunk.bucket, function
        self._store, self._metadata = store, metadata

    def load(self) -> Held[MediaPlaylist]:
        """The one that is live now."""
        found = current(self._store, self._camera)
        untold = live.note_of(found.playlist).untold
        pending = [self._event(found.playlist, untold)] if untold else []
        return Held(state=found.playlist, etag=found.etag, cursor=live.cursor_of(found.playlist), pending=pending)

    def apply(self, held: Held[MediaPlaylist], inputs: Sequence[Input]) -> Held[MediaPlaylist]:
        """List the inputs up to the first that needs another playlist; with none, forget what was told."""
        playlist = held.state
        if not inputs:
            return Held(state=live.noted(playlist, live.Note()))
        fitting = list(takewhile(lambda each: not _outgrows(each, playlist), inputs))
        if not fitting:
            telemetry.current().count("package_moved")
            return Held(state=live.moved(playlist, inputs[0].name), more=True)
        independent = self._metadata.independent(playlist, fitting)
        after = live.grown(playlist, fitting, self._init_size, independent=independent)
        untold = live.note_of(after).untold
        _count(untold)
        pending = [self._event(after, untold)] if untold else []
        return Held(state=after, pending=pending, more=len(fitting) < len(inputs))

    def write(self, state: MediaPlaylist, etag: str | None) -> None:
        """See Folding.write."""
        key, body = names.live_playlist_key(self._camera, state.target_duration), render(state).encode()
        if etag is None:
            self._store.create(key, body, content_type=CONTENT_TYPE, cache_control=CACHE)
        else:
            self._store.replace(key, body, etag=etag, content_type=CONTENT_TYPE, cache_control=CACHE)

    def _init_size(self, name: ChunkName) -> int | None:
        found = next(iter(self._store.list(name.init_key)), None)
        if found and found.key == name.init_key:
            return found.size_bytes
        log.warning("no %s: its chunks cannot be played", name.init_key)
        return None

    def _event(self, playlist: MediaPlaylist, untold: live.Untold) -> Event[PlaylistUpdated]:
        name = names.parse_chunk_key(untold.key)
        updated = PlaylistUpdated(
            chunk=reference(name, bucket=self._bucket, size_bytes=untold.size_bytes),
            playlist=names.live_playlist_key(self._camera, playlist.target_duration),
            index=names.multivariant_key(self._camera),
            target_duration=playlist.target_duration,
            first_seq=playlist.media_sequence,
            listed=untold.listed,
            missing=untold.missing,
            too_long=untold.too_long,
        )
        return events.new(updated, part=self._function, camera=self._camera, event_id=untold.event_id(self._function))


def _outgrows(each: Input, playlist: MediaPlaylist) -> bool:
    """Whether it is too long for this playlist, but not for any."""
    return playlist.target_duration < live.needed_s(each.name.duration_ms) <= live.LONGEST_S


def _count(untold: live.Untold | None) -> None:
    if untold:
        counts: dict[str, Any] = {"listed": untold.listed, "gaps": len(untold.missing), "long": len(untold.too_long)}
        for what, amount in counts.items():
            telemetry.current().count(f"package_{what}", amount)
