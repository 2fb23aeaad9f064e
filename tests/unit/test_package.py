"""The live playlist lists what the bucket has, whatever happens to its events."""

from dataclasses import replace

import pytest

from sluice import names
from sluice.errors import UnavailableError
from sluice.hls import live
from sluice.hls.playlist import parse
from tests.packaging import CAMERA, METADATA, Gate, numbers
from tests.schedules import SteppedStore, Work

LIVE = names.live_playlist_key(CAMERA, 4)
INDEX = names.multivariant_key(CAMERA)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_chunk_is_listed_under_its_number(gate: Gate) -> None:
    """With its time, its init segment, and the range behind the copy of it that the chunk begins with."""
    name = gate.put(seq=7, session=3)
    answer = gate.announce(name)

    [entry] = gate.live().entries
    assert (entry.number, entry.discontinuity, entry.seconds, entry.byterange) == (7, 4, 3.0, "300000@1000")
    assert (entry.uri, entry.init) == (f"../../{name.key}", f"../../{name.init_key}")
    assert entry.at.timestamp() * 1000 == name.start_ms
    assert answer is not None
    assert answer.data.chunk.key == name.key
    assert (answer.data.playlist, answer.data.index, answer.data.first_seq) == (LIVE, INDEX, 7)


def test_the_next_chunk_costs_no_listing(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the event says is enough: one read, one write."""
    gate.add(2)
    name = gate.put()
    monkeypatch.setattr(type(gate.store), "list", lambda *_, **__: pytest.fail("listed"))

    gate.announce(name)

    assert numbers(gate.live()) == [1, 2, 3]


def test_the_window_moves_on(gate: Gate) -> None:
    """Ten entries of three seconds: more than three target durations stay when the oldest goes."""
    gate.add(25)

    assert numbers(gate.live()) == list(range(16, 26))
    assert gate.store.refreshes[LIVE].count == 25


def test_short_chunks_stay_until_players_can_do_without(gate: Gate) -> None:
    """A camera that comes and goes leaves many of them."""
    gate.add(40, duration_ms=400, session=1)

    listed = gate.live().entries
    assert len(listed) == 30
    assert sum(each.seconds for each in listed) == pytest.approx(12.0)


def test_a_late_event_finds_what_came_before_it(gate: Gate) -> None:
    """The first to arrive lists all; the others find nothing left to do."""
    gate.add(1)
    second, third = gate.put(), gate.put()

    first_answer, second_answer = gate.announce(third), gate.announce(second)

    assert numbers(gate.live()) == [1, 2, 3]
    assert first_answer is not None
    assert (first_answer.data.chunk.key, first_answer.data.listed) == (third.key, 2)
    assert second_answer is None


def test_of_two_at_once_neither_undoes_the_other() -> None:
    """Who looked before the other wrote begins again, and finds its chunk listed."""
    gate = Gate(store=SteppedStore())
    gate.add(2)
    third, fourth = gate.put(), gate.put()
    slow = Work(lambda: gate.announce(third))
    slow.step()

    gate.announce(fourth)
    slow.finish()

    assert slow.error is None
    assert numbers(gate.live()) == [1, 2, 3, 4]
    assert [each.chunk.seq for each in gate.told()] == [1, 2, 4]


def test_two_that_find_no_playlist_make_one() -> None:
    """The second sees the first's, and goes on with it."""
    gate = Gate(store=SteppedStore())
    name = gate.put()
    first, second = (Work(lambda: gate.announce(name)) for _ in range(2))
    for _ in range(4):
        first.step()
        second.step()

    first.finish()
    second.finish()

    assert (first.error, second.error) == (None, None)
    assert numbers(gate.live()) == [1]
    assert len(gate.told()) == 1


def test_a_doubled_event_lists_nothing_twice(gate: Gate) -> None:
    """Nor is anything told twice."""
    gate.add(3)

    for name in gate.chunks:
        assert gate.announce(name) is None

    assert numbers(gate.live()) == [1, 2, 3]
    assert len(gate.told()) == 3


def test_a_missing_chunk_is_a_gap(gate: Gate) -> None:
    """Its number is kept, so that nobody's number changes; the time that it would have taken is said."""
    gate.add(3)
    gate.add(1, skip=2, pause_ms=5000)

    live = gate.live()
    assert numbers(live) == [1, 2, 3, -4, -5, 6]
    assert [each.seconds for each in live.entries[3:]] == [2.5, 2.5, 3.0]
    assert gate.told()[-1].missing == (4, 5)


def test_a_gap_at_the_head_goes_as_soon_as_it_may(gate: Gate) -> None:
    """A player that starts there would wait for nothing."""
    gate.add(1)
    gate.add(1, skip=9)

    gate.add(4)

    assert numbers(gate.live()) == [11, 12, 13, 14, 15]


@pytest.mark.parametrize("jump", [{"skip": 11}, {"skip": 10**6}, {"session": 21}, {"session": 900_000}])
def test_what_no_window_can_hold_begins_the_list_anew(gate: Gate, jump: dict[str, int]) -> None:
    """Thousands of gaps or DISCONTINUITY tags would help nobody; numbers go on upwards."""
    gate.add(3)

    gate.add(1, **jump)

    assert numbers(gate.live()) == [gate.chunks[-1].seq]


def test_what_comes_too_late_is_never_put_in(gate: Gate) -> None:
    """It was a gap to every player: recordings have it, the live list does not."""
    gate.add(2)
    late = replace(gate.put(), activity="active")
    gate.store.delete([late.key])
    gate.add(1)

    gate.store.put(late.key, b"x" * 5000)
    gate.announce(late)

    assert numbers(gate.live()) == [1, 2, -3, 4]


def test_media_never_overlap(gate: Gate) -> None:
    """A chunk that begins before the last one ends is another segmenter's."""
    gate.add(2)
    overlapping = gate.put(pause_ms=-1)
    gate.announce(overlapping)
    gate.chunks.pop()

    gate.add(1, skip=1)

    assert numbers(gate.live()) == [1, 2, -3, 4]


def test_a_camera_that_restarts_is_a_discontinuity(gate: Gate) -> None:
    """Its number is the session's: one that had no chunk is one more tag."""
    gate.add(2)
    gate.add(1, session=1, pause_ms=60_000)
    gate.add(1, session=2)

    assert [each.discontinuity for each in gate.live().entries] == [1, 1, 2, 4]


def test_an_older_session_is_ignored(gate: Gate) -> None:
    """A segmenter that was held up writes on: it is recorded, and nobody sees it live."""
    gate.add(2)
    gate.add(1, session=1)
    stale = replace(gate.chunks[-1], session=1, seq=4, start_ms=gate.chunks[-1].end_ms)
    gate.store.put(stale.key, b"x" * 5000)

    gate.announce(stale)

    assert [each.discontinuity for each in gate.live().entries] == [1, 1, 2]


def test_another_codec_is_another_init_segment_and_another_index(gate: Gate) -> None:
    """Who plays follows the init segment; who comes is told beforehand."""
    gate.add(2)
    hevc = {**METADATA, "codec": "hvc1.1.6.L93.B0", "width": "1920", "height": "1080", "fps": "12.5"}
    name = gate.put(session=1, init="ffffffff", metadata=hevc)
    gate.announce(name, metadata=hevc)

    entries = gate.live().entries
    assert [each.init for each in entries] == ["../../init/gate/0a1b2c3d.mp4"] * 2 + ["../../init/gate/ffffffff.mp4"]
    assert (gate.index.codecs, gate.index.width, gate.index.fps, gate.index.session) == (
        "hvc1.1.6.L93.B0",
        1920,
        12.5,
        2,
    )


def test_metadata_is_asked_for_where_the_event_has_none(gate: Gate) -> None:
    """Not every store announces it."""
    gate.announce(gate.put(), metadata={})

    assert (gate.index.codecs, gate.index.bandwidth) == (METADATA["codec"], 900_000)


def test_an_open_gop_is_said_once_and_for_all(gate: Gate) -> None:
    """Players may not start at just any chunk; a playlist cannot take that back."""
    gate.add(1)
    assert gate.live().independent
    assert gate.index.independent

    odd = {**METADATA, "open-gop": "true"}
    gate.announce(gate.put(session=1, metadata=odd), metadata=odd)
    gate.add(1, session=1)

    assert not gate.live().independent
    assert not gate.index.independent


def test_a_bandwidth_is_never_too_small(gate: Gate) -> None:
    """It is measured: the largest entry, and a tenth more."""
    gate.add(1)
    before = gate.index.bandwidth
    name = gate.put()
    gate.store.put(name.key, b"x" * 10**6)
    event = gate.event(name)
    gate.chunks.append(name)

    from functions.package.handler import handle

    sized = replace(event.data.chunk, size_bytes=10**6)
    handle(replace(event, data=replace(event.data, chunk=sized)), store=gate.store, bus=gate.bus)

    assert before == 900_000
    assert gate.index.bandwidth >= 999_000 * 8 / 3 * 1.1


def test_longer_chunks_go_on_in_a_playlist_of_their_own(gate: Gate) -> None:
    """TARGETDURATION never changes: the old list ends, the index points to the new one."""
    gate.add(3)
    gate.add(2, duration_ms=6000)
    gate.add(1)

    assert gate.live().ended
    assert numbers(gate.live()) == [1, 2, 3]
    assert numbers(gate.live(8)) == [4, 5, 6]
    assert gate.index.uri == "live-8.m3u8"
    assert [each.chunk.seq for each in gate.told()] == [1, 2, 3, 4, 5, 6]


def test_what_came_before_the_longer_chunk_is_still_listed_where_it_belongs(gate: Gate) -> None:
    """Several at once, as after an outage."""
    gate.add(1)
    gate.put()
    gate.put(duration_ms=8000)
    gate.announce(gate.put(duration_ms=8000))

    assert numbers(gate.live()) == [1, 2]
    assert gate.live(10).entries[-1].number == 4
    assert gate.index.uri == "live-10.m3u8"


def test_a_camera_whose_first_chunk_is_long_is_live_too(gate: Gate) -> None:
    """Found again by each event that follows."""
    gate.add(3, duration_ms=5000)

    assert numbers(gate.live(7)) == [1, 2, 3]
    assert gate.index.uri == "live-7.m3u8"


def test_a_chunk_that_is_too_long_is_told_and_not_played(gate: Gate) -> None:
    """Over ten seconds is no live picture: players go on with the next."""
    gate.add(1)
    gate.add(1, duration_ms=12_000)
    gate.add(1)

    assert numbers(gate.live()) == [1, -2, 3]
    assert [each.too_long for each in gate.told()] == [(), (2,), ()]


def test_a_camera_with_nothing_but_too_long_chunks_has_no_index(gate: Gate) -> None:
    """A player would wait for ever; the fold goes on all the same."""
    gate.add(12, duration_ms=30_000)

    assert not list(gate.store.list(INDEX))
    assert parse(gate.store.get(LIVE).body.decode()).entries[-1].seq == 12


def test_a_chunk_without_its_init_segment_is_not_played(gate: Gate) -> None:
    """And holds up nobody who comes after it."""
    gate.add(1)
    lost = gate.put(session=1, init="ffffffff")
    gate.store.delete([lost.init_key])
    gate.announce(lost)
    gate.add(1, session=1, init="eeeeeeee")

    assert numbers(gate.live()) == [1, -2, 3]


def test_a_playlist_that_was_deleted_begins_again_at_the_newest_chunk(gate: Gate) -> None:
    """With the numbers that its entries had: players go on."""
    gate.add(5)
    gate.lose()
    gate.add(2)

    assert numbers(gate.live()) == [6, 7]


def test_a_rebuilt_playlist_finds_the_newest_chunk_by_its_folder(gate: Gate) -> None:
    """Whatever event makes it look, and however old that is."""
    gate.add(3)
    gate.add(3, pause_ms=86_400_000)
    gate.lose()

    gate.announce(gate.chunks[0])

    assert numbers(gate.live()) == [6]


def test_a_lost_list_of_long_chunks_is_begun_where_the_index_points(gate: Gate) -> None:
    """Also when the list before it, which says where it is, was deleted."""
    gate.add(2, duration_ms=6000)
    gate.store.delete([LIVE])
    gate.add(1)
    gate.lose(names.live_playlist_key(CAMERA, 8))
    gate.add(1)

    assert numbers(gate.live(8)) == [4]
    assert gate.index.uri == "live-8.m3u8"


def test_a_lost_index_comes_back_with_the_next_chunk(gate: Gate) -> None:
    """It is made of the chunk's metadata as the first was."""
    gate.add(2)
    before = gate.index
    gate.store.delete([INDEX])
    gate.add(1)

    assert gate.index == before


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"#EXTM3U\n", b"{}", b"#EXTM3U\n# sluice {}\n"])
def test_what_somebody_else_wrote_there_is_as_good_as_gone(gate: Gate, body: bytes) -> None:
    """A broken playlist stops nobody for ever."""
    gate.add(2)
    gate.store.put(LIVE, body)
    gate.store.put(INDEX, body)
    gate.store.refreshes[LIVE].lose()
    gate.add(1)

    assert numbers(gate.live()) == [3]
    assert gate.index.codecs == METADATA["codec"]


def test_what_was_not_told_is_told_by_the_next(gate: Gate) -> None:
    """Death between the write and the telling loses nothing."""
    gate.add(1)
    gate.announce(gate.chunks[0])
    gate.bus.available = False
    with pytest.raises(UnavailableError):
        gate.announce(gate.put())
    gate.bus.available = True

    gate.add(1)

    assert numbers(gate.live()) == [1, 2, 3]
    assert [each.chunk.seq for each in gate.told()] == [1, 2, 3]


def test_an_event_that_lists_nothing_tells_and_forgets(gate: Gate) -> None:
    """A camera that rests leaves nothing for the sweeper to ask about."""
    gate.add(1)
    assert live.note_of(parse(gate.store.get(LIVE).body.decode())).untold

    gate.announce(gate.chunks[0])
    after = gate.store.get(LIVE)
    gate.announce(gate.chunks[0])

    assert parse(after.body.decode()).notes == ()
    assert gate.store.get(LIVE).etag == after.etag
    assert len(gate.told()) == 1


def test_a_chunk_that_is_gone_makes_no_playlist(gate: Gate) -> None:
    """Retention was here, and nothing is left."""
    name = gate.put()
    gate.store.delete([name.key])

    assert gate.announce(name) is None
    assert not list(gate.store.list("hls/"))


def test_an_event_of_yesterday_lists_no_days(gate: Gate) -> None:
    """After a long rest of the function, history is left to recordings."""
    gate.add(2)
    for _ in range(5):
        gate.put(pause_ms=3_600_000)

    gate.announce(gate.chunks[-1])

    assert numbers(gate.live()) == [1, 2, -3, -4, -5, -6, 7]


def test_what_players_and_caches_are_told(gate: Gate) -> None:
    """As the object's own headers: whoever shows it need not know what it is."""
    gate.add(2)

    for key, cache in ((LIVE, "max-age=1"), (INDEX, "max-age=2")):
        found = gate.store.get(key)
        assert (found.content_type, found.cache_control) == ("application/vnd.apple.mpegurl", cache)
