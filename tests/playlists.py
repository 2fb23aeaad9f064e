"""What a player may count on from one refresh of a live playlist to the next (RFC 8216, 6.2.1 and 6.2.2).

It reads playlists by itself, not with the code that writes them.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

SLACK = timedelta(milliseconds=2)
AGAIN = "Found duplicated MOOV Atom. Skipped it"
"""FFmpeg reads the init segment after each refresh again, and says so; of playlists that it wrote itself, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """What EXT-X-MAP says, until it comes again."""

    uri: str | None = None
    size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An entry with the numbers that a player counts for it."""

    number: int
    discontinuity: int
    uri: str
    seconds: float
    at: datetime
    init: str | None
    init_size: str
    byterange: str | None
    gap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A playlist as a player reads it."""

    target_duration: int
    first: int
    discontinuity: int
    independent: bool
    ended: bool
    entries: tuple[Listed, ...]

    @property
    def playable(self) -> tuple[Listed, ...]:
        """The entries that a player loads."""
        return tuple(each for each in self.entries if not each.gap)


def read(text: str) -> Refresh:
    """Count as RFC 8216 says; what it demands of a single playlist is asserted."""
    lines = text.split("\n")
    assert lines[0] == "#EXTM3U"
    assert lines[-1] == "", "the last line ends"
    head = {tag: value for tag, _, value in (line.partition(":") for line in lines if line.startswith("#EXT"))}
    target, first = int(head["#EXT-X-TARGETDURATION"]), int(head["#EXT-X-MEDIA-SEQUENCE"])
    began = first_entry(lines)
    for tag in ("#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE", "#EXT-X-TARGETDURATION", "#EXT-X-VERSION"):
        assert sum(line.startswith(f"{tag}:") for line in lines[:began]) == 1, tag
    entries, tags = list[Listed](), dict[str, str]()
    number, discontinuity = first, int(head["#EXT-X-DISCONTINUITY-SEQUENCE"])
    init = Init()
    for line in lines[1:-1]:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-DISCONTINUITY":
            discontinuity += 1
            assert not tags, "a DISCONTINUITY stands before the tags of its entry"
        elif tag == "#EXT-X-MAP":
            [(uri, size)] = re.findall(r'^URI="([^"]+)"(?:,BYTERANGE="(\d+)@0")?$', value)
            init = Init(uri=uri, size=size)
        elif not line.startswith("#"):
            entries.append(listed(line, tags, number=number, discontinuity=discontinuity, init=init))
            number, tags = number + 1, {}
        elif tag in ("#EXTINF", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-BYTERANGE", "#EXT-X-GAP"):
            tags[tag] = value
    assert not tags, "tags without an entry"
    assert_sound(entries, target)
    return Refresh(
        target_duration=target,
        first=first,
        discontinuity=int(head["#EXT-X-DISCONTINUITY-SEQUENCE"]),
        independent="#EXT-X-INDEPENDENT-SEGMENTS" in lines,
        ended="#EXT-X-ENDLIST" in lines,
        entries=tuple(entries),
    )


def first_entry(lines: list[str]) -> int:
    """Where the entries begin."""
    tags = ("#EXTINF", "#EXT-X-MAP", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-GAP")
    return next((at for at, line in enumerate(lines) if line.startswith(tags)), len(lines))


def listed(uri: str, tags: dict[str, str], *, number: int, discontinuity: int, init: Init) -> Listed:
    """The entry that *tags* tell of."""
    gap = "#EXT-X-GAP" in tags
    return Listed(
        number=number,
        discontinuity=discontinuity,
        uri=uri,
        seconds=float(tags["#EXTINF"].rstrip(",")),
        at=datetime.fromisoformat(tags["#EXT-X-PROGRAM-DATE-TIME"]),
        init=None if gap else init.uri,
        init_size="" if gap else init.size,
        byterange=tags.get("#EXT-X-BYTERANGE"),
        gap=gap,
    )


def assert_sound(entries: list[Listed], target: int) -> None:
    """Each fits the target duration and has its init segment; time goes on, and nothing is listed twice."""
    for each in entries:
        assert int(each.seconds + 0.5) <= target, each
        assert each.gap or each.init, each
        assert each.byterange is None or each.byterange.endswith(f"@{each.init_size}"), each
        assert not each.uri.startswith(("/", "http")), each
    for before, after in pairwise(entries):
        assert after.at >= before.at + timedelta(seconds=before.seconds) - SLACK or before.gap, (before, after)
        assert after.at > before.at or before.gap, (before, after)
    assert len({each.uri for each in entries}) == len(entries)


@dataclass
class Refreshes:
    """One playlist, read again and again; raises AssertionError for what no player could follow."""

    seen: dict[int, Listed] = field(default_factory=dict)
    """Every entry that ever was, by number."""
    last: Refresh | None = None
    count: int = 0
    _lost: bool = False

    def lose(self) -> None:
        """The object was deleted: what comes next may begin anew, though not again."""
        self._lost = True

    def see(self, text: str) -> Refresh:
        """Take the next refresh."""
        now = read(text)
        if self.last is not None:
            self._follow(self.last, now)
        self._lost = False
        for each in now.entries:
            known = self.seen.setdefault(each.number, each)
            assert known == each, f"entry {each.number} was edited: {known} became {each}"
        self.last, self.count = now, self.count + 1
        return now

    def _follow(self, before: Refresh, now: Refresh) -> None:
        assert now.target_duration == before.target_duration
        assert now.first >= before.first, f"MEDIA-SEQUENCE fell from {before.first} to {now.first}"
        assert now.discontinuity >= before.discontinuity, "DISCONTINUITY-SEQUENCE fell"
        assert before.independent or not now.independent, "an open GOP is still listed somewhere"
        if self._lost:
            return
        assert now.first + len(now.entries) >= before.first + len(before.entries), "the newest entries are gone"
        if before.ended:
            assert now == before, "an ended playlist has changed"
        kept = now.first < before.first + len(before.entries)
        removed = now.first > before.first
        if removed and kept and not now.ended:
            held_s = sum(each.seconds for each in now.entries)
            assert held_s >= 3 * now.target_duration, f"only {held_s} s are left"
