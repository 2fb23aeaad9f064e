"""Which of a camera's live playlists is live now.

The first is live-4, and each says where the camera went when its chunks grew. With the first one gone the index knows.
"""

import re
from dataclasses import dataclass
from typing import Final

from sluice.errors import ObjectNotFoundError, UnusableInputError
from sluice.hls import live, multivariant
from sluice.hls.multivariant import Variant
from sluice.hls.playlist import MediaPlaylist, parse
from sluice.names import live_playlist_key, multivariant_key
from sluice.store import ObjectStore

MOST_BYTES: Final = 1 << 20
_LIVE: Final = re.compile(r"live-(\d{1,3})\.m3u8", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The live playlist; one that lists nothing where there is none, or none that Sluice has written."""

    playlist: MediaPlaylist
    etag: str | None = None
    """Of its object; None when there is none."""


def current(store: ObjectStore, camera: str) -> Current:
    """The playlist that is live now."""
    target_duration = live.USUAL_S
    while True:
        found = _live(store, camera, target_duration)
        onward = live.note_of(found.playlist).moved if found.etag else _indexed(store, camera)
        if onward is None or not target_duration < onward <= live.LONGEST_S:
            return found
        target_duration = onward


def read_index(store: ObjectStore, camera: str) -> tuple[Variant | None, str | None]:
    """What the index says, and its etag; what somebody else wrote there says nothing."""
    try:
        found = store.get(multivariant_key(camera), limit=MOST_BYTES)
    except ObjectNotFoundError:
        return None, None
    try:
        return multivariant.parse(found.body.decode("utf-8", "replace")), found.etag
    except UnusableInputError:
        return None, found.etag


def _live(store: ObjectStore, camera: str, target_duration: int) -> Current:
    opened = live.opened(target_duration)
    try:
        found = store.get(live_playlist_key(camera, target_duration), limit=MOST_BYTES)
    except ObjectNotFoundError:
        return Current(playlist=opened)
    try:
        return Current(playlist=parse(found.body.decode("utf-8", "replace")), etag=found.etag)
    except UnusableInputError:
        return Current(playlist=opened, etag=found.etag)


def _indexed(store: ObjectStore, camera: str) -> int | None:
    variant, _ = read_index(store, camera)
    found = _LIVE.fullmatch(variant.uri) if variant else None
    return int(found[1]) if found else None
