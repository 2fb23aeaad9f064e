"""The checker of stored chunks: a set that the segmenter cut passes, and each rule has a set that breaks it."""

import hashlib
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from segmenter.cutter import Cutter
from segmenter.muxer import opened
from segmenter.pattern import pattern_clip
from segmenter.tracks import SourceTracks
from sluice.boxes import find
from sluice.names import ChunkName
from sluice.testing.store import MemoryStore
from tests.builders import NOON_MS
from tests.chunks import StoredChunk, accepted, checked_sessions, names_of
from tests.payloads import Payloads, assert_gapless_part_of, frame_numbers, payloads_of

CAMERA = "gate"
Chunks = list[StoredChunk]
Tamper = Callable[[Chunks], Chunks]


@cache
def clip(container: str = "mpegts", codec: str = "h264") -> bytes:
    return pattern_clip(size=(160, 96), seconds=12, gop=50, audio=True, container=container, codec=codec)


@cache
def cut_chunks() -> tuple[StoredChunk, ...]:
    """Two connections of three chunks each, numbered as an uploader does."""
    cutter, chunks = Cutter(epoch_s=NOON_MS / 1000), list[StoredChunk]()
    for connection in (0, 1):
        with opened(clip()) as container:
            cutter.connect(SourceTracks(container, CAMERA))
            made = [
                chunk
                for packet in container.demux()
                if packet.size and packet.dts is not None
                for chunk in cutter.add(packet, connection * 20 + float(packet.dts * packet.time_base))
            ]
            made += cutter.end()
        for each in made:
            cut = each.spoolable(camera=CAMERA, run="run")
            name = cut.name(CAMERA, session=each.session, seq=len(chunks) + 1)
            chunks.append(StoredChunk(name=name, body=cut.body, metadata=cut.metadata))
    return tuple(chunks)


def stored(chunks: Chunks) -> MemoryStore:
    store = MemoryStore()
    for each in chunks:
        store.put(each.name.init_key, each.init)
        store.put(each.name.key, each.body, metadata=each.metadata)
    return store


def renamed(at: int, **changes: Any) -> Tamper:
    def tamper(chunks: Chunks) -> Chunks:
        name: ChunkName = replace(chunks[at].name, **changes)
        return [*chunks[:at], replace(chunks[at], name=name), *chunks[at + 1 :]]

    return tamper


def said(at: int, **changes: str) -> Tamper:
    def tamper(chunks: Chunks) -> Chunks:
        metadata = {**chunks[at].metadata, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return [*chunks[:at], replace(chunks[at], metadata=metadata), *chunks[at + 1 :]]

    return tamper


def rewritten(at: int, change: Callable[[bytes], bytes]) -> Tamper:
    """Another body, and the metadata that belongs to it."""

    def tamper(chunks: Chunks) -> Chunks:
        body = change(chunks[at].body)
        metadata = {**chunks[at].metadata, "sha256": hashlib.sha256(body).hexdigest()}
        return [*chunks[:at], replace(chunks[at], body=body, metadata=metadata), *chunks[at + 1 :]]

    return tamper


def moved(body: bytes, track: int, ticks: int) -> bytes:
    """The chunk with a track's decode time moved."""
    at = [box.body + 4 for box in find(body, "moof/traf/tfdt")][track]
    (time,) = struct.unpack_from(">Q", body, at)
    return body[:at] + struct.pack(">Q", time + ticks) + body[at + 8 :]


def not_sync(body: bytes) -> bytes:
    """The chunk whose first sample is not said to be a sync sample (ISO/IEC 14496-12, 8.8.3.1)."""
    trun = next(find(body, "moof/traf/trun"))
    at = body.index(struct.pack(">I", 0x02000000), trun.body)
    return body[:at] + struct.pack(">I", 0x01010000) + body[at + 4 :]


def not_idr(body: bytes) -> bytes:
    """The chunk whose first picture is an ordinary one."""
    at = body.index(b"\x65\x88", next(find(body, "mdat")).body)
    return body[:at] + b"\x41" + body[at + 1 :]


def test_what_the_segmenter_cuts_passes() -> None:
    """Two sessions, all packets of both connections."""
    sessions = checked_sessions(stored(list(cut_chunks())), CAMERA)

    assert [len(each.chunks) for each in sessions] == [3, 3]
    source = payloads_of(clip())
    for each in sessions:
        assert_gapless_part_of(source.video, each.payloads.video, what="video")
        assert_gapless_part_of(source.audio, each.payloads.audio, what="audio")


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        pytest.param(lambda chunks: [*chunks[:1], *chunks[2:]], "seq missing", id="a chunk is missing"),
        pytest.param(renamed(1, seq=1), "seq does not rise", id="a seq is given twice"),
        pytest.param(renamed(1, start_ms=NOON_MS + 3900), "overlaps", id="a chunk begins before another's end"),
        pytest.param(renamed(4, session=1), "session falls", id="a session falls"),
        pytest.param(renamed(1, activity="opening"), "opening", id="opening within a session"),
        pytest.param(renamed(3, activity="idle"), "opening", id="a session that does not open"),
        pytest.param(renamed(1, init="00000000"), "another init segment", id="two init segments in a session"),
        pytest.param(renamed(1, duration_ms=3980), "lasts", id="a name that says another duration"),
        pytest.param(rewritten(1, lambda body: moved(body, 0, 1)), "video tfdt", id="a tick between two chunks"),
        pytest.param(rewritten(1, lambda body: moved(body, 1, 500)), "audio tfdt", id="sound that sets in late"),
        pytest.param(rewritten(1, not_idr), "does not start at a random-access", id="no keyframe at the start"),
        pytest.param(rewritten(1, not_sync), "not said to be a random-access", id="a keyframe that nobody announces"),
        pytest.param(said(1, sha256="0" * 64), "metadata", id="another sha256"),
        pytest.param(said(1, frames="7"), "metadata", id="another number of frames"),
        pytest.param(said(1, codec="avc1.000000"), "metadata", id="another codec"),
        pytest.param(said(1, reason="whim"), "reason", id="an unknown reason"),
        pytest.param(said(1, open_gop="perhaps"), "open-gop", id="neither open nor closed"),
        pytest.param(said(1, bitrate="1"), "bitrate", id="another bit rate"),
        pytest.param(said(1, fps="24"), "fps", id="another frame rate"),
    ],
)
def test_each_rule_finds_what_breaks_it(tamper: Tamper, told: str) -> None:
    """A set of chunks that breaks one rule is refused for that rule."""
    with pytest.raises(AssertionError, match=told):
        checked_sessions(stored(tamper(list(cut_chunks()))), CAMERA)


def test_a_camera_without_chunks_passes_nothing() -> None:
    """An empty listing is no proof."""
    with pytest.raises(AssertionError, match="no chunks"):
        checked_sessions(MemoryStore(), CAMERA)


def test_an_init_segment_must_be_stored() -> None:
    """A player that follows a chunk must find it."""
    store = stored(list(cut_chunks()))
    store.delete([cut_chunks()[0].name.init_key])

    with pytest.raises(AssertionError, match="not stored"):
        checked_sessions(store, CAMERA)


def test_a_reader_ignores_a_fenced_session() -> None:
    """Nothing lower than the highest session that it has seen."""
    late = replace(cut_chunks()[4].name, session=1, start_ms=cut_chunks()[5].name.end_ms)
    names = [*names_of(stored(list(cut_chunks())), CAMERA), late]

    assert late not in accepted(names)
    assert accepted(names) == names[:-1]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("container", ["mpegts", "matroska", "mp4"])
def test_payloads_are_the_same_in_every_container(container: str, codec: str, tmp_path: Path) -> None:
    """Start codes or lengths, ADTS or none."""
    # Encoded once: the containers' time bases move the encoder's decisions.
    (tmp_path / "clip").write_bytes(clip("mpegts", codec))
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(tmp_path / "clip"),
        "-c",
        "copy",
        "-f",
        container,
        str(tmp_path / "copy"),
    ]
    subprocess.run(command, check=True, timeout=60)

    assert payloads_of(tmp_path / "copy") == payloads_of(tmp_path / "clip")


SOURCE = [f"{n:02}" for n in range(20)]


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param(["03", "05"], id="lost"),
        pytest.param(["03", "03", "04"], id="doubled"),
        pytest.param(["04", "03"], id="out of order"),
        pytest.param(["03", "zz"], id="foreign"),
        pytest.param([], id="nothing"),
        pytest.param(["18", "19", "00"], id="from the beginning again"),
    ],
)
def test_a_packet_too_few_or_too_many_is_found(taken: list[str]) -> None:
    """Lost, doubled, out of order, or of another source."""
    with pytest.raises(AssertionError):
        assert_gapless_part_of(SOURCE, taken, what="video")


def test_a_loop_goes_round() -> None:
    """As a cycle, also where equal packets stand at several places."""
    assert_gapless_part_of(SOURCE, [*SOURCE[17:], *SOURCE, *SOURCE[:4]], looped=True, what="video")
    assert_gapless_part_of(["a", "a", "b", "a", "c"], ["a", "c", "a", "a", "b"], looped=True, what="audio")


def test_payloads_add_up_in_order() -> None:
    """Chunk after chunk."""
    both = Payloads(video=("a",), audio=("x",)) + Payloads(video=("b",))

    assert both == Payloads(video=("a", "b"), audio=("x",))


def test_pictures_say_their_number() -> None:
    """After encoding and decoding, in the order shown."""
    assert frame_numbers(clip()) == list(range(300))
