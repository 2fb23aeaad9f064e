"""A range of recordings as a playlist: complete, to be sought in, with a discontinuity where no stream goes on."""

import subprocess
from dataclasses import replace

import pytest

from sluice.recordings.chunks import Recorded
from sluice.recordings.vod import MOST_ASKED, are_independent
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS
from tests.recorded import CHUNK_MS, FRAMES, record
from tests.services.served import served
from tests.viewers import Gateway

PATH = "/vod/gate/index.m3u8"


def asked(gateway: Gateway, query: str) -> tuple[int, str]:
    answer = gateway.viewer("gate").ask(f"{PATH}?{query}")
    return answer.status_code, answer.get_data(as_text=True)


def all_of(seconds: float = 60) -> str:
    return f"from={NOON_MS}&to={NOON_MS + round(seconds * 1000)}"


def probed(gateway: Gateway, query: str) -> tuple[int, str]:
    """Frames that FFmpeg decodes, and what it says."""
    command = ["ffprobe", "-v", "warning", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]
    with served(gateway) as address:
        done = subprocess.run(
            [*command, f"{address}{PATH}?{query}"], capture_output=True, text=True, check=False, timeout=60
        )
    counts = [line for line in done.stdout.splitlines() if line]
    return int(counts[0].strip(",")), done.stderr


def test_a_range_is_a_complete_playlist() -> None:
    """The chunks' media parts, each with its time, and the init segment they share."""
    gateway = Gateway()
    names = record(gateway.store, chunks=3)

    status, text = asked(gateway, "from=2026-11-21T12:00:02Z&to=2026-11-21T12:00:06Z")

    size = len(gateway.store.get(names[1].init_key).body)
    assert status == 200
    assert text.splitlines()[:10] == [
        "#EXTM3U",
        "#EXT-X-VERSION:8",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="../../{names[1].init_key}",BYTERANGE="{size}@0"',
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T12:00:02.000Z",
        "#EXTINF:2.000,",
    ]
    assert f"@{size}\n../../{names[1].key}\n" in text
    assert f"../../{names[2].key}\n#EXT-X-ENDLIST\n" in text
    assert names[0].key not in text


@pytest.mark.parametrize("bf", [0, 2])
@pytest.mark.parametrize("shape", ["one session", "a hole", "two sessions"])
def test_ffmpeg_plays_it_without_a_word(bf: int, shape: str) -> None:
    """Through the gateway: every frame of every chunk, over holes and restarts of a camera."""
    gateway = Gateway()
    names = record(gateway.store, chunks=4, bf=bf)
    if shape == "a hole":
        gateway.store.delete([names[2].key])
    if shape == "two sessions":
        record(gateway.store, chunks=4, bf=bf, session=2, first_seq=5, start_ms=NOON_MS + 20_000)

    frames, said = probed(gateway, all_of())

    chunks = sum(1 for _ in gateway.store.list("chunks/"))
    assert said == ""
    assert frames == chunks * FRAMES


def test_a_hole_and_a_new_session_are_discontinuities() -> None:
    """And an init segment is named again only when it is another one."""
    gateway = Gateway()
    first = record(gateway.store, chunks=4)
    record(gateway.store, chunks=2, session=2, first_seq=5, start_ms=NOON_MS + 4 * CHUNK_MS)
    record(gateway.store, chunks=1, session=3, first_seq=7, start_ms=NOON_MS + 6 * CHUNK_MS, size=(160, 90))
    gateway.store.delete([first[1].key])

    _, text = asked(gateway, all_of())

    assert text.count("#EXT-X-DISCONTINUITY\n") == 3
    assert text.count("#EXT-X-MAP") == 2
    assert text.count("#EXT-X-PROGRAM-DATE-TIME") == 6


def test_a_missing_number_is_a_hole_however_short() -> None:
    """Its clock may go on elsewhere."""
    gateway = Gateway()
    names = record(gateway.store, chunks=2)
    body = gateway.store.get(names[1].key).body
    gateway.store.delete([names[1].key])
    gateway.store.put(replace(names[1], seq=3).key, body)

    _, text = asked(gateway, all_of())

    assert text.count("#EXT-X-DISCONTINUITY\n") == 1


@pytest.mark.parametrize("opened", [1, 2])
def test_one_open_gop_says_that_no_segment_stands_alone(opened: int) -> None:
    """In whichever of the sessions; the tag would be a promise."""
    gateway = Gateway()
    for session in (1, 2):
        opens, at_ms = session == opened, NOON_MS + session * 10_000
        record(gateway.store, chunks=2, session=session, first_seq=2 * session, start_ms=at_ms, bf=2, open_gop=opens)

    status, text = asked(gateway, all_of())

    assert status == 200
    assert "#EXT-X-INDEPENDENT-SEGMENTS" not in text


def test_a_gop_that_opens_later_is_seen_too() -> None:
    """A session's last chunk is asked as well as its first."""
    gateway = Gateway()
    names = record(gateway.store, chunks=3)
    gateway.store.put(names[-1].key, gateway.store.get(names[-1].key).body, metadata={"open-gop": "true"})

    assert "#EXT-X-INDEPENDENT-SEGMENTS" not in asked(gateway, all_of())[1]


def test_what_is_not_known_is_not_promised() -> None:
    """A chunk that says nothing of it, or is gone since it was indexed."""
    store = MemoryStore()
    names = record(store, chunks=2)
    chunks = [Recorded(name=each, size_bytes=1) for each in names]
    known = are_independent(store, chunks)
    store.put(names[1].key, store.get(names[1].key).body)

    silent = are_independent(store, chunks)
    store.delete([names[1].key])

    assert known
    assert not silent
    assert not are_independent(store, chunks)


def test_a_day_of_restarts_is_not_asked_for_each() -> None:
    """So many reads as a playlist may cost, and no more."""
    store = MemoryStore()
    [name] = record(store, chunks=1)
    chunks = [Recorded(name=replace(name, session=each), size_bytes=1) for each in range(100)]
    for each in chunks:
        store.put(each.name.key, b"x", metadata={"open-gop": "false"})

    assert are_independent(store, chunks[:MOST_ASKED])
    assert not are_independent(store, chunks)


def test_a_chunk_without_its_init_segment_is_left_out() -> None:
    """No player could begin with it."""
    gateway = Gateway()
    record(gateway.store, chunks=1)
    lost = record(gateway.store, chunks=1, session=2, first_seq=2, start_ms=NOON_MS + CHUNK_MS, size=(160, 90))
    gateway.store.delete([lost[0].init_key])

    _, text = asked(gateway, all_of())

    assert text.count("#EXTINF") == 1


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "from: expected a time"),
        ("from=yesterday", 400, "from: expected a time"),
        (f"from={NOON_MS}&to={NOON_MS}", 400, "before `to`"),
        (f"from={NOON_MS}&to={NOON_MS + 86_400_001}", 400, "at most 24 hours"),
        ("from=0&to=9999999999999", 400, "at most 24 hours"),
        (f"from={NOON_MS - 9000}&to={NOON_MS - 1}", 404, "nothing was recorded of gate from 2026-11-21T11:59:51"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(query: str, status: int, reason: str) -> None:
    """By status and sentence."""
    gateway = Gateway()
    record(gateway.store, chunks=1)

    assert asked(gateway, query)[0] == status
    assert reason in asked(gateway, query)[1]


def test_another_token_sees_nothing() -> None:
    """Whether something was recorded or not."""
    gateway = Gateway(store=MemoryStore())
    record(gateway.store, chunks=1)

    assert gateway.viewer("yard").ask(f"{PATH}?{all_of()}").status_code == 404
