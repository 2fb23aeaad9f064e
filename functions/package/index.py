"""The playlist that a player opens: it names the live one, and what a player has to know before it loads anything."""

from dataclasses import replace
from typing import Final

from functions.package.metadata import Metadata
from sluice import names, telemetry
from sluice.errors import ConflictError
from sluice.hls import live, multivariant
from sluice.hls.current import read_index
from sluice.hls.multivariant import Variant, roomy, variant
from sluice.hls.playlist import CONTENT_TYPE, Entry, MediaPlaylist
from sluice.store import ObjectStore

CACHE: Final = "max-age=2"


class Index:
    """Of one camera."""

    def __init__(self, camera: str, store: ObjectStore) -> None:
        self._camera, self._key, self._store = camera, names.multivariant_key(camera), store

    def update(self, playlist: MediaPlaylist, metadata: Metadata) -> None:
        """Write it where it is missing or tells of another session; without anything to play there is none."""
        playable = [each for each in playlist.entries if each.byterange]
        if not playable:
            return
        held, etag = read_index(self._store, self._camera)
        wanted = _wanted(playlist, playable, held, metadata)
        if wanted == held:
            return
        body = multivariant.render(wanted).encode()
        try:
            if etag is None:
                self._store.create(self._key, body, content_type=CONTENT_TYPE, cache_control=CACHE)
            else:
                self._store.replace(self._key, body, etag=etag, content_type=CONTENT_TYPE, cache_control=CACHE)
        except ConflictError:
            telemetry.current().count("package_index_conflicts")  # the next event looks again


def _wanted(playlist: MediaPlaylist, playable: list[Entry], held: Variant | None, metadata: Metadata) -> Variant:
    newest, uri = playable[-1], f"live-{playlist.target_duration}.m3u8"
    peak = max(_bits_per_s(each) for each in playable)
    if held and (held.session, held.uri) == (newest.session, uri):
        return replace(held, bandwidth=roomy(peak)) if peak > held.bandwidth else held
    name = live.chunk_of(newest)
    found = variant(metadata.of(name) if name else {}, uri=uri, session=newest.session, bandwidth=roomy(peak))
    return replace(found, independent=playlist.independent)


def _bits_per_s(entry: Entry) -> float:
    length = entry.byterange[0] if entry.byterange else 0
    return length * 8000 / max(1, entry.duration_ms)
