"""The playlist that a player opens: it names the live one, and what a player has to know before it loads anything."""

from dataclasses import replace
from typing import Final

from functions.package.playlists import LivePlaylists
from sluice import names, telemetry
from sluice.errors import ConflictError, ObjectNotFoundError, UnusableInputError
from sluice.hls import live, multivariant
from sluice.hls.multivariant import Variant, roomy, variant
from sluice.hls.playlist import CONTENT_TYPE, Entry, MediaPlaylist
from sluice.store import ObjectStore

CACHE: Final = "max-age=2"
MOST_BYTES: Final = 1 << 16


def update_index(playlist: MediaPlaylist, playlists: LivePlaylists, *, store: ObjectStore) -> None:
    """Write it where it is missing or tells of another session; without anything to play there is none."""
    playable = [each for each in playlist.entries if each.byterange]
    if not playable:
        return
    key = names.multivariant_key(playlists.camera)
    try:
        found = store.get(key, limit=MOST_BYTES)
    except ObjectNotFoundError:
        held, etag = None, None
    else:
        held, etag = _read(found.body), found.etag
    wanted = _wanted(playlist, playable, held, playlists)
    if wanted is None or wanted == held:
        return
    body = multivariant.render(wanted).encode()
    try:
        if etag is None:
            store.create(key, body, content_type=CONTENT_TYPE, cache_control=CACHE)
        else:
            store.replace(key, body, etag=etag, content_type=CONTENT_TYPE, cache_control=CACHE)
    except ConflictError:
        telemetry.current().count("package_index_conflicts")  # the next event looks again


def _wanted(
    playlist: MediaPlaylist, playable: list[Entry], held: Variant | None, playlists: LivePlaylists
) -> Variant | None:
    newest = playable[-1]
    uri = f"live-{playlist.target_duration}.m3u8"
    peak = max(_bits_per_s(each) for each in playable)
    name = live.chunk_of(newest)
    if held and (held.session, held.uri) == (newest.session, uri):
        return replace(held, bandwidth=roomy(peak)) if peak > held.bandwidth else held
    if name is None or (held and held.session > newest.session):
        return None
    found = variant(playlists.metadata.of(name), uri=uri, session=newest.session, bandwidth=roomy(peak))
    return replace(found, independent=playlist.independent)


def _bits_per_s(entry: Entry) -> float:
    length = entry.byterange[0] if entry.byterange else 0
    return length * 8000 / max(1, entry.duration_ms)


def _read(body: bytes) -> Variant | None:
    try:
        return multivariant.parse(body.decode("utf-8", "replace"))
    except UnusableInputError:
        return None
