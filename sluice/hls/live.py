"""How a live playlist grows: chunks in, the next playlist out. Pure.

The playlist is its own memory: where it stands is its last entry's name, and what it still has to tell is a note
behind its entries, which players skip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from sluice import names
from sluice.contracts.playlist import PlaylistUpdated
from sluice.errors import InvalidNameError
from sluice.fold import Cursor, Input
from sluice.hls.playlist import Entry, MediaPlaylist
from sluice.names import ChunkName

USUAL_S: Final = 4
"""TARGETDURATION for chunks of three seconds whose last GOP may be two: it must not change while a playlist lives."""
LONGEST_S: Final = 10
"""A player stays three of them behind: what is longer is no live picture any more."""
ENTRIES: Final = 10
MOST_ENTRIES: Final = 100
"""However short they are."""
PLAYER_HOLDS: Final = 3
"""Target durations that have to stay when an entry is removed (RFC 8216, 6.2.2)."""
MOST_SKIPPED: Final = 20
"""Sessions, each of which would be one more DISCONTINUITY tag."""
ROOT: Final = "../../"
"""From hls/<camera>/ to the keys."""
_NOTE: Final = "# sluice "


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """What a write changed, until somebody was told."""

    key: str
    size_bytes: int
    listed: int = 1
    missing: tuple[int, ...] = ()
    too_long: tuple[int, ...] = ()

    def event_id(self, function: str) -> str:
        """Of the event that tells it; the same however often it is told."""
        return names.event_id(PlaylistUpdated.TYPE, self.key, function, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The playlist's memory beside its entries."""

    untold: Untold | None = None
    moved: int | None = None
    """The live playlist goes on in the one with this target duration."""


InitSize = Callable[[ChunkName], int | None]
"""The size of a chunk's init segment; None when it is gone."""


def needed_s(duration_ms: int) -> int:
    """The target duration that an entry needs: its own, rounded as players do."""
    return (duration_ms + 500) // 1000


def roomier_s(duration_ms: int) -> int:
    """The target duration for a camera whose chunks last so long: a quarter more, as the next may be longer."""
    return min(LONGEST_S, -(-duration_ms * 5 // 4000))


def cursor_of(playlist: MediaPlaylist) -> Cursor | None:
    """Where it stands; None where nothing was applied."""
    name = chunk_of(playlist.entries[-1]) if playlist.entries else None
    return Cursor.after(name) if name else None


def chunk_of(entry: Entry) -> ChunkName | None:
    """The chunk that an entry lists; None for one that was never there."""
    try:
        return names.parse_chunk_key(entry.uri.removeprefix(ROOT))
    except InvalidNameError:
        return None


def note_of(playlist: MediaPlaylist) -> Note:
    """Its memory; one that cannot be read counts as empty."""
    for line in playlist.notes:
        try:
            note = msgspec.json.decode(line.removeprefix(_NOTE), type=Note)
            if note.untold:
                names.parse_chunk_key(note.untold.key)
        except (msgspec.DecodeError, InvalidNameError):
            continue
        return note
    return Note()


def noted(playlist: MediaPlaylist, note: Note) -> MediaPlaylist:
    """The playlist with this memory in place of its own."""
    line = f"{_NOTE}{msgspec.json.encode(note).decode()}"
    return replace(playlist, notes=() if note == Note() else (line,))


def grown(playlist: MediaPlaylist, inputs: Sequence[Input], init_size: InitSize, *, independent: bool) -> MediaPlaylist:
    """The playlist with *inputs* behind its entries, which are in order; none needs a longer target duration."""
    sizes: dict[str, int | None] = {each.init_uri: each.byterange[1] for each in playlist.entries if each.byterange}
    entries, missing = list(playlist.entries), list[int]()
    for each in inputs:
        name, uri = each.name, f"{ROOT}{each.name.init_key}"
        if uri not in sizes:
            sizes[uri] = init_size(name)
        gaps = _gaps(entries[-1], name, playlist.target_duration) if entries else []
        if gaps is None:
            entries, gaps = [], []
        missing += [gap.seq for gap in gaps]
        entries += [*gaps, _entry(each, sizes[uri], playlist.target_duration)]
    last = inputs[-1]
    too_long = tuple(each.name.seq for each in inputs if needed_s(each.name.duration_ms) > playlist.target_duration)
    untold = Untold(
        key=last.name.key,
        size_bytes=last.size_bytes,
        listed=len(inputs),
        missing=tuple(missing[-ENTRIES:]),
        too_long=too_long[-ENTRIES:],
    )
    kept = _window(entries, playlist.target_duration)
    listed = replace(
        playlist,
        entries=kept,
        media_sequence=kept[0].seq,
        discontinuity_sequence=kept[0].session,
        independent=playlist.independent and independent,
    )
    return noted(listed, Note(untold=untold))


def opened(target_duration: int) -> MediaPlaylist:
    """A playlist that lists nothing yet."""
    return MediaPlaylist(target_duration=target_duration)


def moved(playlist: MediaPlaylist, name: ChunkName) -> MediaPlaylist:
    """The playlist at its end: the camera's chunks have become longer, and another has room for them from *name* on."""
    ended = replace(playlist, ended=True)
    if not playlist.entries:
        ended = replace(ended, media_sequence=name.seq, discontinuity_sequence=name.session)
    return noted(ended, Note(moved=roomier_s(name.duration_ms)))


def _entry(each: Input, init_size: int | None, target_duration: int) -> Entry:
    name = each.name
    playable = needed_s(name.duration_ms) <= target_duration and init_size is not None and init_size < each.size_bytes
    duration_ms = min(name.duration_ms, target_duration * 1000)
    return Entry(
        seq=name.seq,
        session=name.session,
        start_ms=name.start_ms,
        duration_ms=name.duration_ms if playable else duration_ms,
        uri=f"{ROOT}{name.key}",
        init_uri=f"{ROOT}{name.init_key}" if playable else "",
        byterange=(each.size_bytes - init_size, init_size) if playable and init_size is not None else None,
        gap=not playable,
    )


def _gaps(last: Entry, name: ChunkName, target_duration: int) -> list[Entry] | None:
    """An entry for each number between the last and the next; None where the list is better begun anew."""
    count = name.seq - last.seq - 1
    if count > ENTRIES or name.session - last.session > MOST_SKIPPED:
        return None
    share_ms = max(0, name.start_ms - last.end_ms) // max(1, count)
    return [
        Entry(
            seq=last.seq + 1 + each,
            session=last.session,
            start_ms=last.end_ms + share_ms * each,
            duration_ms=min(max(1, share_ms), target_duration * 1000),
            uri=f"gap-{last.seq + 1 + each}.mp4",
            gap=True,
        )
        for each in range(count)
    ]


def _window(entries: Sequence[Entry], target_duration: int) -> tuple[Entry, ...]:
    """The newest entries: as many as players must find, and no gap before them."""
    kept, held_ms = list(entries), sum(each.duration_ms for each in entries)
    while len(kept) > ENTRIES or (kept[0].gap and not all(each.gap for each in kept)):
        held_ms -= kept[0].duration_ms
        if held_ms < PLAYER_HOLDS * target_duration * 1000 and len(kept) <= MOST_ENTRIES:
            break
        kept.pop(0)
    return tuple(kept)
