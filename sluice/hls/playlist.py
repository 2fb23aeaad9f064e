"""A media playlist as text and back, without a loss in either direction. Pure.

An entry's number is its chunk's seq and its discontinuity number its session, so a playlist needs no counters beside
its entries: whoever renders it anew gives every entry the number that it had.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from sluice.errors import UnusableInputError

CONTENT_TYPE: Final = "application/vnd.apple.mpegurl"
VERSION: Final = 8
"""EXT-X-GAP needs it; the others need 7 at most."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD: Final = "#EXTM3U"
_RANGE: Final = re.compile(r"(\d+)@(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One chunk, or the place of one that cannot be played."""

    seq: int
    session: int
    start_ms: int
    """Wall time, Unix milliseconds."""
    duration_ms: int
    uri: str
    init_uri: str = ""
    """Of the init segment; a gap has none."""
    byterange: tuple[int, int] | None = None
    """Length and offset of the media part; None: the whole object."""
    gap: bool = False
    """Nothing to be loaded: players go on with the next."""

    @property
    def end_ms(self) -> int:
        """Wall time of its end."""
        return self.start_ms + self.duration_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """What one object says at one time."""

    target_duration: int
    """Whole seconds; no entry, rounded, is longer."""
    entries: tuple[Entry, ...] = ()
    """In order, each with the number after the one before."""
    media_sequence: int = 0
    """The first entry's seq; without entries that of the first to come."""
    discontinuity_sequence: int = 0
    """The first entry's session; without entries that of the last that was there."""
    independent: bool = True
    """False: some chunk begins with frames that need the one before."""
    ended: bool = False
    """Nothing is ever added."""
    version: int = VERSION
    kind: str = ""
    """VOD or EVENT; a live playlist has none."""
    notes: tuple[str, ...] = ()
    """Comments at the end; players skip them."""


def render(playlist: MediaPlaylist) -> str:
    """The playlist as text; raises ValueError where its entries contradict its numbers."""
    _check(playlist)
    return "\n".join(_lines(playlist)) + "\n"


def parse(text: str) -> MediaPlaylist:
    """Read what render wrote; raises UnusableInputError for anything else."""
    try:
        found = _read(text)
        if render(found) == text:
            return found
    except (ValueError, KeyError, OverflowError, TypeError):
        pass  # TypeError: a time without its zone
    raise UnusableInputError("a media playlist as Sluice writes it", repr(text[:80]), "playlist")


def _check(playlist: MediaPlaylist) -> None:
    entries = playlist.entries
    if entries and (entries[0].seq, entries[0].session) != (playlist.media_sequence, playlist.discontinuity_sequence):
        raise ValueError("the playlist's numbers are not those of its first entry")
    for before, after in pairwise(entries):
        if after.seq != before.seq + 1 or after.session < before.session:
            raise ValueError(f"entry {after.seq} of session {after.session} after {before.seq} of {before.session}")
    if any(entry.gap and (entry.init_uri or entry.byterange) for entry in entries):
        raise ValueError("a gap has nothing to load")
    if any("\n" in note or not note.startswith("# ") for note in playlist.notes):
        raise ValueError("a note is one line and begins with '# '")


def _lines(playlist: MediaPlaylist) -> Iterator[str]:
    yield from (_HEAD, f"#EXT-X-VERSION:{playlist.version}", f"#EXT-X-TARGETDURATION:{playlist.target_duration}")
    yield f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}"
    yield f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}"
    if playlist.kind:
        yield f"#EXT-X-PLAYLIST-TYPE:{playlist.kind}"
    if playlist.independent:
        yield "#EXT-X-INDEPENDENT-SEGMENTS"
    session, mapped = playlist.discontinuity_sequence, ""
    for entry in playlist.entries:
        yield from ["#EXT-X-DISCONTINUITY"] * (entry.session - session)
        session = entry.session
        # It holds until the next one, in other sessions, too; FFmpeg's reader complains of one that comes again.
        if entry.init_uri and _map(entry) != mapped:
            mapped = _map(entry)
            yield mapped
        yield from _entry_lines(entry)
    if playlist.ended:
        yield "#EXT-X-ENDLIST"
    yield from playlist.notes


def _map(entry: Entry) -> str:
    """With its length, which is where the media part begins.

    Without, FFmpeg's reader (libavformat/hls.c, http.c up to 7 at least) asks a connection that it has used for the
    last entry's range once more, and waits for its last byte for ever.
    """
    length = f',BYTERANGE="{entry.byterange[1]}@0"' if entry.byterange else ""
    return f'#EXT-X-MAP:URI="{entry.init_uri}"{length}'


def _entry_lines(entry: Entry) -> Iterator[str]:
    yield f"#EXT-X-PROGRAM-DATE-TIME:{_time(entry.start_ms)}"
    if entry.gap:
        yield "#EXT-X-GAP"
    yield f"#EXTINF:{entry.duration_ms // 1000}.{entry.duration_ms % 1000:03d},"
    if entry.byterange is not None:
        length, offset = entry.byterange
        yield f"#EXT-X-BYTERANGE:{length}@{offset}"
    yield entry.uri


def _time(start_ms: int) -> str:
    at = _EPOCH + timedelta(milliseconds=start_ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{start_ms % 1000:03d}Z"


@dataclass(slots=True)
class _Reader:
    """What the lines so far say of the next entry."""

    seq: int = 0
    session: int = 0
    init_uri: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def entry(self, uri: str) -> Entry:
        tags, self.tags = self.tags, {}
        gap = "EXT-X-GAP" in tags
        byterange = _RANGE.fullmatch(tags["EXT-X-BYTERANGE"]) if "EXT-X-BYTERANGE" in tags else None
        at = datetime.fromisoformat(tags["EXT-X-PROGRAM-DATE-TIME"])
        whole, _, thousandths = tags["EXTINF"].rstrip(",").partition(".")
        self.seq += 1
        return Entry(
            seq=self.seq - 1,
            session=self.session,
            start_ms=(at - _EPOCH) // timedelta(milliseconds=1),
            duration_ms=int(whole) * 1000 + int(thousandths),
            uri=uri,
            init_uri="" if gap else self.init_uri,
            byterange=(int(byterange[1]), int(byterange[2])) if byterange else None,
            gap=gap,
        )


def _read(text: str) -> MediaPlaylist:
    head: dict[str, str] = {}
    reader, entries, notes = _Reader(), list[Entry](), list[str]()
    for line in text.splitlines():
        tag, _, value = line.removeprefix("#").partition(":")
        if not line.startswith("#"):
            entries.append(reader.entry(line))
        elif line.startswith("# "):
            notes.append(line)
        elif tag in ("EXT-X-PROGRAM-DATE-TIME", "EXT-X-GAP", "EXTINF", "EXT-X-BYTERANGE"):
            reader.tags[tag] = value
        elif tag == "EXT-X-DISCONTINUITY":
            reader.session += 1
        elif tag == "EXT-X-MAP":
            reader.init_uri = value.removeprefix('URI="').partition('"')[0]
        else:
            head[tag] = value
            if tag == "EXT-X-MEDIA-SEQUENCE":
                reader.seq = int(value)
            if tag == "EXT-X-DISCONTINUITY-SEQUENCE":
                reader.session = int(value)
    return MediaPlaylist(
        target_duration=int(head["EXT-X-TARGETDURATION"]),
        entries=tuple(entries),
        media_sequence=int(head["EXT-X-MEDIA-SEQUENCE"]),
        discontinuity_sequence=int(head["EXT-X-DISCONTINUITY-SEQUENCE"]),
        independent="EXT-X-INDEPENDENT-SEGMENTS" in head,
        ended="EXT-X-ENDLIST" in head,
        version=int(head["EXT-X-VERSION"]),
        kind=head.get("EXT-X-PLAYLIST-TYPE", ""),
        notes=tuple(notes),
    )
