"""A range of recordings as one file that begins at 0, holds every frame once, and never goes back in time."""

import io
import subprocess
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.boxes import find
from sluice.errors import UnusableInputError
from sluice.recordings import fragment
from sluice.recordings.chunks import chunks_between
from sluice.recordings.clip import WINDOW, clip_of
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS, a_small_chunk
from tests.recorded import CHUNK_MS, FRAMES, record
from tests.viewers import Gateway

PATH = "/clip/gate.mp4"
QUERY = f"from={NOON_MS}&to={NOON_MS + 60_000}"


def packets(body: bytes, kind: str) -> list[Any]:
    with av.open(io.BytesIO(body), "r") as container:
        return [each for each in container.demux() if each.size and each.stream.type == kind]


def a_gateway(shape: str, **source: Any) -> Gateway:
    gateway = Gateway()
    names = record(gateway.store, chunks=4, **source)
    if shape == "a hole":
        gateway.store.delete([names[2].key])
    if shape == "two sessions":
        record(gateway.store, chunks=4, session=2, first_seq=5, start_ms=NOON_MS + 20_000, **source)
    return gateway


@pytest.mark.parametrize("shape", ["one session", "a hole", "two sessions"])
@pytest.mark.parametrize("bf", [0, 2])
def test_a_clip_has_every_frame_of_its_chunks_and_one_clock(shape: str, bf: int) -> None:
    """It begins at 0; sound and picture go on, never back, and what was not recorded takes no time."""
    gateway = a_gateway(shape, bf=bf)
    chunks = [gateway.store.get(each.key).body for each in gateway.store.list("chunks/")]

    answer = gateway.viewer("gate").ask(f"{PATH}?{QUERY}")

    assert answer.status_code == 200
    assert answer.content_length == len(answer.data)
    for kind in ("video", "audio"):
        found = packets(answer.data, kind)
        assert [bytes(each) for each in found] == [bytes(each) for chunk in chunks for each in packets(chunk, kind)]
        # Sound begins with the first picture that is shown, which B-frames move behind the first that is decoded.
        assert found[0].dts * found[0].time_base <= (0 if kind == "video" else 0.1)
        assert all(before.dts < after.dts for before, after in pairwise(found))
        assert found[-1].dts * found[-1].time_base < len(chunks) * CHUNK_MS / 1000 + 0.2
    assert len(packets(answer.data, "video")) == len(chunks) * FRAMES


def test_a_clock_that_stands_still_does_not_go_back() -> None:
    """Two chunks that say the same time follow each other."""
    gateway = Gateway()
    names = record(gateway.store, chunks=2)
    gateway.store.put(names[1].key, gateway.store.get(names[0].key).body)

    body = gateway.viewer("gate").ask(f"{PATH}?{QUERY}").data

    for kind in ("video", "audio"):
        assert all(before.dts < after.dts for before, after in pairwise(packets(body, kind)))


def test_its_fragments_are_numbered_from_0() -> None:
    """As VLC expects."""
    body = a_gateway("two sessions").viewer("gate").ask(f"{PATH}?{QUERY}").data

    numbers = [int.from_bytes(body[box.body + 4 : box.body + 8], "big") for box in find(body, "moof/mfhd")]

    assert numbers == list(range(8))


def test_ffmpeg_reads_it_without_a_word(tmp_path: Any) -> None:
    """And shows how long it is, and when it was recorded."""
    file = tmp_path / "clip.mp4"
    file.write_bytes(a_gateway("two sessions").viewer("gate").ask(f"{PATH}?{QUERY}").data)
    shown = ["-show_entries", "format=duration:format_tags=creation_time", "-of", "csv=p=0"]

    probed = subprocess.run(["ffprobe", "-v", "warning", *shown, file], capture_output=True, text=True, check=True)
    played = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", file, "-f", "null", "-"], capture_output=True, text=True, check=True
    )

    duration, created = probed.stdout.strip().split(",")
    assert probed.stderr + played.stderr == ""
    assert 16 <= float(duration) < 16.3
    assert created.startswith("2026-11-21T12:00:00")


def test_it_is_sent_as_a_file_that_says_of_when_it_is() -> None:
    """HEAD says the same, without the file."""
    gateway = a_gateway("one session")
    viewer = gateway.viewer("gate")

    sent, told = viewer.ask(f"{PATH}?{QUERY}"), viewer.ask(f"{PATH}?{QUERY}", "HEAD")

    assert sent.headers["Content-Disposition"] == 'attachment; filename="gate-20261121T120000Z.mp4"'
    assert sent.content_type == "video/mp4"
    assert told.data == b""
    assert told.headers["Content-Length"] == sent.headers["Content-Length"]


def test_pictures_of_two_kinds_are_refused_by_their_parts() -> None:
    """Each of which can be had."""
    gateway = a_gateway("one session")
    record(gateway.store, chunks=1, session=2, first_seq=5, start_ms=NOON_MS + 20_000, size=(160, 90))
    viewer = gateway.viewer("gate")

    refused = viewer.ask(f"{PATH}?{QUERY}")

    parts = refused.json["parts"] if refused.json else []
    assert refused.status_code == 409
    assert "changed its codec" in refused.get_data(as_text=True)
    assert parts == [
        {"from": "2026-11-21T12:00:00.000Z", "to": "2026-11-21T12:00:08.000Z"},
        {"from": "2026-11-21T12:00:20.000Z", "to": "2026-11-21T12:00:22.000Z"},
    ]
    assert [viewer.ask(f"{PATH}?from={each['from']}&to={each['to']}").status_code for each in parts] == [200, 200]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "from: expected a time"),
        (f"from={NOON_MS}&to={NOON_MS + 7_200_001}", 400, "at most 2 hours"),
        (f"from={NOON_MS + 3_600_000}&to={NOON_MS + 7_200_000}", 404, "nothing was recorded"),
    ],
)
def test_what_is_no_clip_is_refused_with_the_reason(query: str, status: int, reason: str) -> None:
    """Before a byte is sent."""
    answer = a_gateway("one session").viewer("gate").ask(f"{PATH}?{query}")

    assert answer.status_code == status
    assert reason in answer.get_data(as_text=True)


def test_it_is_made_in_pieces_of_bounded_size() -> None:
    """However large a chunk is: its media is read on from where its clock stands."""
    store = MemoryStore()
    name = record(store, chunks=1)[0]
    body = store.get(name.key).body
    store.put(name.key, body + bytes(5 << 20))
    clip = clip_of(store, list(chunks_between(store, "gate", NOON_MS, NOON_MS + 1)))

    pieces = list(clip.pieces(store))

    assert sum(map(len, pieces)) == clip.size_bytes
    assert len(pieces) == 3
    assert max(map(len, pieces)) <= WINDOW + len(clip.head)


@given(st.integers(0, 1182), st.binary(min_size=1, max_size=8), st.integers(0, 1000))
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_are_one_error(at: int, noise: bytes, cut: int) -> None:
    """Whatever stands in an init segment or a fragment."""
    chunk = a_small_chunk()
    init = chunk.init[:at] + noise + chunk.init[at + len(noise) :]
    media = chunk.media[: len(chunk.media) - cut]
    media = media[:at] + noise + media[at + len(noise) :]

    for attempt in (
        lambda: fragment.tracks_of(init, where="init"),
        lambda: fragment.lasting(init, duration_ms=1, start_ms=1, where="init"),
        lambda: fragment.read(media, fragment.tracks_of(chunk.init, where="init"), where="chunk"),
    ):
        try:
            attempt()
        except UnusableInputError:
            continue
