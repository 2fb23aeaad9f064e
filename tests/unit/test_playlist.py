"""Playlists as text and back."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import UnusableInputError
from sluice.hls import multivariant
from sluice.hls.multivariant import Variant, variant
from sluice.hls.playlist import Entry, MediaPlaylist, parse, render
from tests.builders import NOON_MS
from tests.playlists import read

URIS = st.from_regex(r"[a-z0-9][a-z0-9./-]{0,40}", fullmatch=True)


@st.composite
def playlists(draw: st.DrawFn) -> MediaPlaylist:
    """Any list whose entries are in order."""
    target, count = draw(st.integers(1, 10)), draw(st.integers(0, 12))
    seq, session, at = draw(st.integers(0, 10**9)), draw(st.integers(0, 999)), NOON_MS
    entries = list[Entry]()
    for number in range(count):
        session += draw(st.sampled_from([0, 0, 0, 1, 3])) if entries else 0
        duration, gap = draw(st.integers(1, target * 1000)), draw(st.booleans())
        entry = Entry(
            seq=seq + number,
            session=session,
            start_ms=at,
            duration_ms=duration,
            uri=f"{number}/{draw(URIS)}",
            init_uri="" if gap else draw(st.sampled_from(["a.mp4", "b.mp4"])),
            byterange=None if gap else draw(st.none() | st.tuples(st.integers(1, 10**8), st.integers(0, 10**5))),
            gap=gap,
        )
        entries.append(entry)
        at = entry.end_ms + draw(st.sampled_from([0, 0, 1, 86_400_000]))
    return MediaPlaylist(
        target_duration=target,
        entries=tuple(entries),
        media_sequence=seq,
        discontinuity_sequence=entries[0].session if entries else session,
        independent=draw(st.booleans()),
        ended=draw(st.booleans()),
        kind=draw(st.sampled_from(["", "VOD", "EVENT"])),
        notes=tuple(draw(st.lists(st.from_regex(r"# [ -~]*", fullmatch=True), max_size=2))),
    )


@given(playlists())
def test_a_playlist_comes_back_as_it_was_written(playlist: MediaPlaylist) -> None:
    """parse(render(x)) == x."""
    assert parse(render(playlist)) == playlist


@given(playlists())
def test_players_count_the_numbers_that_are_meant(playlist: MediaPlaylist) -> None:
    """An entry's number is its seq, its discontinuity number its session, and its init segment its own."""
    counted = read(render(playlist)).entries

    assert [(e.number, e.discontinuity, e.uri, e.gap, e.init or "") for e in counted] == [
        (e.seq, e.session, e.uri, e.gap, e.init_uri) for e in playlist.entries
    ]


@given(playlists())
def test_an_init_segment_is_named_where_it_is_another(playlist: MediaPlaylist) -> None:
    """Never twice in a row: FFmpeg's reader complains of one that comes again. A restart alone names none."""
    named = [line for line in render(playlist).splitlines() if line.startswith("#EXT-X-MAP:")]

    assert all(before != after for before, after in pairwise(named))


def test_an_init_segment_s_length_is_said() -> None:
    """Else FFmpeg's reader asks for it by the range of the chunk before, and waits for the rest of that for ever."""
    entries = tuple(replace(an_entry(each), init_uri="i.mp4", byterange=(9000, 1180)) for each in (3, 4))

    text = render(MediaPlaylist(target_duration=4, media_sequence=3, discontinuity_sequence=1, entries=entries))

    assert text.count('#EXT-X-MAP:URI="i.mp4",BYTERANGE="1180@0"\n') == 1


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    """By one error, whatever it is."""
    with pytest.raises(UnusableInputError):
        parse(text)
    with pytest.raises(UnusableInputError):
        multivariant.parse(text)


@given(playlists(), st.data())
def test_a_damaged_playlist_is_refused_or_means_what_it_says(playlist: MediaPlaylist, data: st.DataObject) -> None:
    """Whatever is read renders to the very same text."""
    lines = render(playlist).split("\n")
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(
        st.sampled_from(["", lines[at][:-1], "#EXT-X-MEDIA-SEQUENCE:7", "#EXTINF:1,", "x", "#EXTM3U"])
    )
    text = "\n".join(lines)

    try:
        found = parse(text)
    except UnusableInputError:
        return

    assert render(found) == text


def an_entry(seq: int, session: int = 1) -> Entry:
    return Entry(seq=seq, session=session, start_ms=NOON_MS + seq * 3000, duration_ms=3000, uri=f"{seq}.mp4")


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ((an_entry(4),), "first entry"),
        ((an_entry(3, session=2),), "first entry"),
        ((an_entry(3), an_entry(5)), "entry 5"),
        ((an_entry(3), an_entry(3)), "entry 3"),
        ((an_entry(3), an_entry(4, session=0)), "session 0"),
        ((replace(an_entry(3), gap=True, init_uri="i.mp4"),), "nothing to load"),
    ],
)
def test_numbers_that_players_would_count_otherwise_are_a_bug(entries: tuple[Entry, ...], why: str) -> None:
    """Such a playlist is never written."""
    with pytest.raises(ValueError, match=why):
        render(MediaPlaylist(target_duration=4, media_sequence=3, discontinuity_sequence=1, entries=entries))


VARIANTS = st.builds(
    Variant,
    uri=st.just("live-4.m3u8"),
    session=st.integers(0, 999_999),
    bandwidth=st.integers(1, 10**9),
    codecs=st.sampled_from(["", "avc1.64001f", "hvc1.1.6.L93.B0,mp4a.40.2"]),
    width=st.just(1280),
    height=st.integers(1, 99_999),
    fps=st.sampled_from([0.0, 25.0, 29.97, 1000.125]),
    independent=st.booleans(),
)


@given(VARIANTS)
def test_an_index_comes_back_as_it_was_written(each: Variant) -> None:
    """parse(render(x)) == x."""
    assert multivariant.parse(multivariant.render(each)) == each


@pytest.mark.parametrize(
    "metadata",
    [
        {"codec": 'avc1"\n#EXT-X-ENDLIST', "width": "12a", "height": "720", "fps": "25\n"},
        {"codec": "avc1,", "width": "-1", "height": "٣", "fps": "inf"},
        {"codec": "a" * 200, "width": "0", "height": "720", "fps": "1e9"},
    ],
)
def test_metadata_writes_no_line_of_its_own(metadata: dict[str, str]) -> None:
    """Anybody can upload with any metadata: what is no codec, size or rate is left out."""
    found = variant(metadata, uri="live-4.m3u8", session=1, bandwidth=50_000)

    assert multivariant.render(found).splitlines()[3] == "#EXT-X-STREAM-INF:BANDWIDTH=50000"
