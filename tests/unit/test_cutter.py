"""Packets in, chunks out: whatever the camera does, chunks start at keyframes, touch, and hold each packet once."""

import hashlib
import io
import struct
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.cutter import CutChunk, Cutter
from segmenter.muxer import ANCHOR_EPOCH_MS, opened
from segmenter.pattern import pattern_clip
from segmenter.timeline import Clock
from segmenter.tracks import AnyPacket, SourceTracks
from sluice.boxes import find
from tests.builders import NOON_MS

SMALL = (160, 96)
EPOCH_S = NOON_MS / 1000
Change = Callable[[AnyPacket, float], float | None]
"""Changes a packet and says when it comes, in seconds from the start; None where it is lost."""

SOURCES = [
    pytest.param({"bf": 0}, id="bf-0"),
    pytest.param({"bf": 2, "audio": True}, id="bf-2"),
    pytest.param({"bf": 2, "audio": True, "container": "mpegts"}, id="mpegts"),
    pytest.param({"bf": 2, "audio": True, "container": "flv"}, id="flv"),
    pytest.param({"open_gop": True, "gop": 12}, id="open-gop"),
    pytest.param({"gop": 1, "bf": 0}, id="gop-1"),
    pytest.param({"gop": 40, "codec": "h265"}, id="h265"),
    pytest.param({"gop": 12, "codec": "h265", "container": "mpegts", "open_gop": True}, id="h265-open-gop"),
    pytest.param({"fps": Fraction(30000, 1001), "gop": 30}, id="29.97"),
    pytest.param({"fps": 5, "gop": 150, "bf": 0, "seconds": 70}, id="a-gop-of-30-s"),
]


@cache
def clip(**arguments: Any) -> bytes:
    return pattern_clip(**{"size": SMALL, "gop": 50, "seconds": 12, **arguments})


def as_it_is(_packet: AnyPacket, taken: float) -> float:
    return taken


def cut(file: bytes, change: Change = as_it_is, cutter: Cutter | None = None) -> list[CutChunk]:
    cutter = cutter or Cutter(epoch_s=EPOCH_S)
    with opened(file) as container:
        chunks = cutter.connect(SourceTracks(container, "camera"))
        late = 0.0
        for packet in container.demux():
            if packet.size and packet.dts is not None:
                received = change(packet, float(packet.dts * packet.time_base))
                if received is not None:
                    late = max(late, received)
                    chunks += cutter.add(packet, late)
    return chunks + cutter.end()


def payloads(file: bytes, kind: str = "video") -> list[tuple[str, bool]]:
    """Each packet's hash, in decoding order, and whether it is a keyframe; slices alone, as hvc1 has no sets in it."""
    with av.open(io.BytesIO(file), "r") as container:
        stream = next((each for each in container.streams if each.type == kind), None)
        if stream is None:
            return []
        codec = stream.codec_context.name
        return [(digest(bytes(each), codec), each.is_keyframe) for each in container.demux(stream) if each.size]


def digest(payload: bytes, codec: str) -> str:
    if codec == "aac" and payload[:2] in (b"\xff\xf1", b"\xff\xf9"):
        payload = payload[7:]
    elif codec == "h264":
        payload = b"".join(unit for unit in units(payload) if unit and unit[0] & 31 in range(1, 6))
    elif codec == "hevc":
        payload = b"".join(unit for unit in units(payload) if unit and unit[0] >> 1 < 32)
    return hashlib.sha256(payload).hexdigest()[:16]


def units(payload: bytes) -> Iterator[bytes]:
    if payload[:3] == b"\0\0\1" or payload[:4] == b"\0\0\0\1":
        for unit in payload.split(b"\0\0\1"):
            yield unit.rstrip(b"\0")
        return
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        yield payload[at + 4 : at + 4 + size].rstrip(b"\0")
        at += 4 + size


def decode_times(chunk: CutChunk) -> list[int]:
    """The tfdt of each track."""
    media = chunk.chunk.media
    return [struct.unpack_from(">Q", media, box.body + 4)[0] for box in find(media, "moof/traf/tfdt")]


def sessions(chunks: Iterable[CutChunk]) -> list[list[CutChunk]]:
    runs: dict[int, list[CutChunk]] = {}
    for each in chunks:
        runs.setdefault(each.session, []).append(each)
    return list(runs.values())


def assert_honest(chunks: list[CutChunk]) -> None:
    """What holds for all chunks of all cameras."""
    assert chunks
    assert [each.session for each in chunks] == sorted(each.session for each in chunks)
    for before, after in pairwise(chunks):
        assert after.start_ms >= before.end_ms
    for run in sessions(chunks):
        assert [each.opening for each in run] == [True] + [False] * (len(run) - 1)
        assert len({each.chunk.init for each in run}) == 1
        assert_one_stream(run)
    for each in chunks:
        assert payloads(each.chunk.body)[0][1], "starts at a random-access point"
        assert each.duration_ms == pytest.approx(each.chunk.duration_ms, rel=0.001, abs=2)


def assert_one_stream(run: list[CutChunk]) -> None:
    """Decode times go on from chunk to chunk, and what each lasts in wall time adds up."""
    for before, after in pairwise(run):
        assert after.start_ms == before.end_ms
    stream = run[0].chunk.init + b"".join(each.chunk.media for each in run)
    with av.open(io.BytesIO(stream), "r") as container:
        for track in container.streams:
            container.seek(0)
            times = [(each.dts, each.duration) for each in container.demux(track) if each.size and each.dts is not None]
            gaps = [after[0] - before[0] - (before[1] or 0) for before, after in pairwise(times)]
            assert all(after[0] > before[0] for before, after in pairwise(times))
            assert max((abs(gap) for gap in gaps), default=0) * (track.time_base or 0) < Fraction(1, 1000)


def assert_nothing_lost(file: bytes, chunks: list[CutChunk], *, but: int = 0) -> None:
    """Between the first and the last stored packet none is lost or doubled, but so many."""
    sent = [each for each, _ in payloads(file)]
    kept = [each for chunk in chunks for each, _ in payloads(chunk.chunk.body)]
    rest = iter(sent[sent.index(kept[0]) :])
    missing = [each for each in kept if each not in rest]
    assert not missing, "in the order in which they were sent, so none twice"
    assert len(sent) - sent.index(kept[0]) - len(kept) == but


@pytest.mark.parametrize("source", SOURCES)
def test_every_packet_is_in_one_chunk(source: dict[str, Any]) -> None:
    """Cut at the first keyframe at or after three seconds, gapless, named as the camera says."""
    file = clip(**source)
    cutter = Cutter(epoch_s=EPOCH_S)

    chunks = cut(file, cutter=cutter)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert {each.session for each in chunks} == {1}
    assert [each.chunk.reason for each in chunks] == ["keyframe"] * (len(chunks) - 1) + ["end"]
    assert all(each.chunk.duration_ms >= 3000 for each in chunks[:-1])
    assert (cutter.counts.dropped, cutter.counts.repaired) == (0, 0)
    assert any(each.chunk.open_gop for each in chunks) == source.get("open_gop", False)


@pytest.mark.parametrize("container", ["mp4", "mpegts", "flv"])
def test_sound_goes_along(container: str) -> None:
    """Every packet of sound from the first picture on is in one chunk, that of its time."""
    file = clip(audio=True, container=container)
    chunks = cut(file)
    sent = [each for each, _ in payloads(file, "audio")]
    kept = [each for chunk in chunks for each, _ in payloads(chunk.chunk.body, "audio")]

    assert kept == sent[sent.index(kept[0]) :]
    assert len(sent) - len(kept) < 10
    for each in chunks[1:]:
        video, sound = decode_times(each)
        scale = 12_800 if container == "mp4" else 90_000
        assert abs(sound / 48_000 - video / scale) < 0.3


def test_sound_ahead_of_its_picture_goes_to_the_chunk_of_its_time() -> None:
    """Half a second early, as some encoders send it."""

    def early(packet: AnyPacket, taken: float) -> float:
        if packet.stream.type == "audio":
            shift(packet, 0.5)
        return taken

    chunks = cut(clip(audio=True, bf=0), early)

    assert_honest(chunks)
    for each in chunks[1:]:
        video, sound = decode_times(each)
        assert -0.001 < sound / 48_000 - video / 12_800 < 0.03


def test_time_counts_from_the_first_chunk() -> None:
    """Tfdt is the session's anchor plus media time, nothing else; the anchor is the name of its first chunk."""
    chunks = cut(clip(bf=0, container="mpegts"))

    anchor = (chunks[0].start_ms - ANCHOR_EPOCH_MS) * 90
    assert [decode_times(each)[0] - anchor for each in chunks] == [0, 4 * 90_000, 8 * 90_000]
    assert [each.duration_ms for each in chunks] == [4000] * 3


def test_a_longer_gop_makes_a_longer_chunk_up_to_the_limit() -> None:
    """Then there is nothing that could be shown: it is dropped and counted up to the next keyframe."""
    file, cutter = clip(fps=5, gop=200, bf=0, seconds=90), Cutter(epoch_s=EPOCH_S)

    chunks = cut(file, cutter=cutter)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks, but=100)
    assert [(each.chunk.reason, each.because, each.chunk.duration_ms) for each in chunks] == [
        ("limit", "connected", 30_000),
        ("limit", "limit", 30_000),
        ("end", "limit", 10_000),
    ]
    assert cutter.counts.waiting == 100


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_the_33_bit_wrap_is_undone(turns: int) -> None:
    """As often as it comes; FFmpeg undoes the first alone."""

    def wraps(packet: AnyPacket, taken: float) -> float:
        at = (1 << 33) * turns - 5 * 90_000
        packet.pts, packet.dts = ((each or 0) + at & (1 << 33) - 1 for each in (packet.pts, packet.dts))
        return taken

    file = clip(audio=True, container="mpegts")

    cutter = Cutter(epoch_s=EPOCH_S)
    chunks = cut(file, wraps, cutter)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert cutter.counts.sound_dropped == 0
    assert {each.session for each in chunks} == {1}


def test_a_new_count_is_a_new_session() -> None:
    """A camera that starts its clock again goes on without a lost frame where the count starts with a keyframe."""

    def resets(packet: AnyPacket, taken: float) -> float:
        if taken >= 6 - 0.001 + 1:
            shift(packet, -7)
        return taken

    file = clip(bf=0, gop=25)

    chunks = cut(file, resets)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert [(each.session, each.because, each.duration_ms) for each in chunks] == [
        (1, "connected", 3000),
        (1, "connected", 3000),
        (1, "connected", 1000),
        (2, "reset", 3000),
        (2, "reset", 2000),
    ]
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 3000, 6000, 7000, 10_000]


def test_a_reset_within_a_gop_waits_for_a_keyframe() -> None:
    """What follows it needs frames of the other count."""
    cutter = Cutter(epoch_s=EPOCH_S)

    def resets(packet: AnyPacket, taken: float) -> float:
        if taken >= 5 - 0.001:
            shift(packet, -100)
        return taken

    file = clip(gop=50, bf=0)
    chunks = cut(file, resets, cutter)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks, but=25)
    assert cutter.counts.waiting == 25
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 4000, 6000, 10_000]


def shift(packet: AnyPacket, seconds: float) -> None:
    ticks = round(seconds / packet.time_base)
    packet.pts, packet.dts = (None if each is None else each + ticks for each in (packet.pts, packet.dts))


@pytest.mark.parametrize("first", [-20.0, -0.5, 1e6])
def test_the_count_may_start_anywhere(first: float) -> None:
    """Negative times too: the anchor lifts them."""

    def shifted(packet: AnyPacket, taken: float) -> float:
        shift(packet, first)
        return taken

    file = clip(audio=True)
    chunks = cut(file, shifted)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert {each.session for each in chunks} == {1}


@pytest.mark.parametrize("bf", [0, 2])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_broken_stamps_are_mended_or_dropped_and_counted(bf: int, data: st.DataObject) -> None:
    """Missing, doubled and falling times: nothing is lost uncounted, nothing comes twice, no chunk breaks."""
    file, cutter = clip(bf=bf, gop=25, audio=True), Cutter(epoch_s=EPOCH_S)
    broken = data.draw(st.dictionaries(st.integers(2, 280), st.sampled_from(["no-dts", "no-pts", "none", "falls"])))
    number = 0

    def breaks(packet: AnyPacket, taken: float) -> float:
        nonlocal number
        if packet.stream.type == "video":
            fault = broken.get(number)
            number += 1
            if fault in ("no-dts", "none"):
                packet.dts = None
            if fault in ("no-pts", "none"):
                packet.pts = None
            if fault == "falls":
                shift(packet, -0.2)
        return taken

    chunks = cut(file, breaks, cutter)

    assert [each.session for each in chunks] == sorted(each.session for each in chunks)
    assert all(after.start_ms >= before.end_ms for before, after in pairwise(chunks))
    assert all(payloads(each.chunk.body)[0][1] for each in chunks)
    assert_nothing_lost(file, chunks, but=cutter.counts.dropped + cutter.counts.waiting)
    assert cutter.counts.unwritable == 0


def joined_flv(*files: bytes) -> bytes:
    """The video tags of FLV files of six seconds each, one after the other: each has its own sequence header."""
    out = bytearray(files[0][:13])
    for number, file in enumerate(files):
        at = 13
        while at + 11 < len(file):
            end = at + 11 + int.from_bytes(file[at + 1 : at + 4], "big") + 4
            tag = bytearray(file[at:end])
            tag[4:7] = (int.from_bytes(tag[4:7], "big") + 6000 * number).to_bytes(3, "big")
            out += tag if tag[0] == 9 else b""
            at = end
    return bytes(out)


def joined_ts(first: bytes, second: bytes) -> bytes:
    out = io.BytesIO()
    with av.open(io.BytesIO(second), "r") as source, av.open(out, "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets: Any = source.demux(source.streams.video[0])
        for packet in packets:
            if packet.size:
                shift(packet, 6)
                packet.stream = stream
                target.mux(packet)
    return first + out.getvalue()


@pytest.mark.parametrize(
    ("codec", "container", "join"),
    [("h264", "mpegts", joined_ts), ("h265", "mpegts", joined_ts), ("h264", "flv", joined_flv)],
)
def test_another_size_is_another_session(codec: str, container: str, join: Callable[[bytes, bytes], bytes]) -> None:
    """New parameter sets in the stream: a new init segment, no frame lost between, and each chunk can be decoded."""
    files = [clip(size=size, seconds=6, codec=codec, container=container) for size in (SMALL, (320, 180))]

    chunks = cut(join(files[0], files[1]))

    assert_honest(chunks)
    assert [each.because for each in chunks] == ["connected", "connected", "parameters", "parameters"]
    assert [(each.chunk.width, each.chunk.height) for each in chunks] == [SMALL] * 2 + [(320, 180)] * 2
    assert [each.duration_ms for each in chunks] == [4000, 2000, 4000, 2000]
    for each in chunks:
        with av.open(io.BytesIO(each.chunk.body), "r") as container_:
            frames = [(frame.width, frame.height) for frame in container_.decode(video=0)]
        assert frames == [(each.chunk.width, each.chunk.height)] * each.chunk.frames


def test_sound_that_sets_in_late_is_another_session() -> None:
    """A session has one init segment, and without the first sound nobody knows what to write there."""

    def late(packet: AnyPacket, taken: float) -> float | None:
        return None if packet.stream.type == "audio" and taken < 6 else taken

    chunks = cut(clip(audio=True, container="mpegts"), late)

    assert_honest(chunks)
    assert [(each.session, each.because) for each in chunks] == [(1, "connected"), (2, "tracks"), (2, "tracks")]
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 4000, 8000]


def test_sound_that_stops_changes_nothing() -> None:
    """The tracks are those that the session began with."""

    def stops(packet: AnyPacket, taken: float) -> float | None:
        return None if packet.stream.type == "audio" and taken > 3 else taken

    chunks = cut(clip(audio=True, container="mpegts"), stops)

    assert_honest(chunks)
    assert {each.session for each in chunks} == {1}


def test_durations_beyond_belief_are_forgotten() -> None:
    """A header says that a frame lasts for years: FFmpeg's muxer would abort the process."""

    def lasts(packet: AnyPacket, taken: float) -> float:
        if 5 < taken < 5.1:
            packet.duration = 1 << 60
        return taken

    file = clip(audio=True)

    chunks = cut(file, lasts)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)


def test_what_mp4_cannot_hold_costs_one_chunk() -> None:
    """One camera's nonsense is counted and never ends a process that serves others."""
    cutter, chunks = Cutter(epoch_s=EPOCH_S), []
    with opened(clip(audio=True)) as container:
        cutter.connect(SourceTracks(container, "camera"))
        for packet in container.demux():
            at = float((packet.dts or 0) * packet.time_base)
            sound = packet.stream.type == "audio"
            if sound and packet.size and 4.1 < at < 7.9:
                adts: AnyPacket = av.Packet(b"\xff\xf1" + bytes(60))  # not what this source's header promised
                adts.pts, adts.dts, adts.time_base = packet.pts, packet.dts, packet.time_base
                adts.stream = packet.stream
                chunks += cutter.add(adts, at)
            elif not sound or not 3.9 < at < 8.1:
                chunks += cutter.add(packet, at)
        chunks += cutter.end()

    assert [each.start_ms - NOON_MS + 80 for each in chunks] == [0, 8000]
    assert cutter.counts.unwritable == 100


def test_a_chunk_is_ready_for_the_spool() -> None:
    """Sessions never share a run, so each gets a number of its own."""
    chunk = cut(clip(bf=0))[0]

    spooled = chunk.spoolable(camera="gate", run="b7")

    assert spooled.run == "b7-1"
    assert spooled.body == chunk.chunk.body
    assert spooled.name("gate", session=4, seq=9, opening=chunk.opening).start_ms == NOON_MS
    assert spooled.metadata["reason"] == "keyframe"


def test_a_stall_that_is_made_up_for_costs_nothing() -> None:
    """Five seconds of silence, then all at once: one session, true names."""
    file = clip(bf=0, gop=25, seconds=20)

    chunks = cut(file, lambda _, taken: 12.0 if 7 < taken < 12 else taken)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 3000, 6000, 9000, 12_000, 15_000, 18_000]


def test_a_jump_ends_the_session_at_once() -> None:
    """A camera that leaps ahead is no longer believed; its frames up to the next keyframe go with the old count."""

    def leaps(packet: AnyPacket, taken: float) -> float:
        if taken >= 7:
            shift(packet, 5)
        return taken

    file = clip(bf=0, gop=50)

    chunks = cut(file, leaps)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks, but=25)
    assert [(each.session, each.because) for each in chunks] == [
        (1, "connected"),
        (1, "connected"),
        (2, "jump"),
    ]
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 4000, 8000]


def test_a_hole_longer_than_a_chunk_may_be_ends_the_session() -> None:
    """Nothing was to be seen meanwhile."""
    file = clip(bf=0, gop=25)

    def pauses(packet: AnyPacket, taken: float) -> float:
        if taken >= 5:
            shift(packet, 40)
            return taken + 40
        return taken

    chunks = cut(file, pauses)

    assert_honest(chunks)
    assert_nothing_lost(file, chunks)
    assert [each.because for each in chunks] == ["connected", "connected", "gap", "gap", "gap"]
    assert chunks[2].start_ms - NOON_MS == 45_000


def test_a_wrong_frame_rate_drifts_into_a_new_session_without_loss() -> None:
    """24.97 fps labelled 25: sessions end at a cut, and what is named is never more than a second off."""
    file, drift = clip(fps=5, gop=15, bf=0, seconds=1000), 25 / 24.97

    chunks = cut(file, lambda _, taken: taken * drift)

    assert [run[0].because for run in sessions(chunks)] == ["connected", "drift"]
    assert_nothing_lost(file, chunks)
    media = 0
    for each in chunks:
        assert abs(each.start_ms - NOON_MS - media * drift) < 1001
        media += each.chunk.duration_ms


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_the_machines_clock_does_not_move_chunks(step: float) -> None:
    """It is set by an hour while a chunk is open: they go on touching."""
    now = [0.0]
    clock = Clock(monotonic=lambda: now[0], wall=lambda: EPOCH_S + now[0] + (step if now[0] > 5 else 0))

    def ticks(_packet: AnyPacket, taken: float) -> float:
        now[0] = taken
        return clock.now()

    chunks = cut(clip(bf=0), ticks, Cutter(epoch_s=clock.epoch_s))

    assert_honest(chunks)
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 4000, 8000]
    assert clock.stepped_by() == pytest.approx(step)


def test_connections_follow_one_another() -> None:
    """Each begins a session; the last chunk of the one before is kept; none starts before the floor."""
    file, cutter = clip(bf=0, seconds=5), Cutter(epoch_s=EPOCH_S, floor_ms=NOON_MS + 1000)

    chunks = cut(file, cutter=cutter) + cut(file, lambda _, taken: taken + 7, cutter)

    assert_honest(chunks)
    assert [(each.session, each.held_ms) for each in chunks[::2]] == [(1, 1000), (2, 0)]
    assert [each.start_ms - NOON_MS for each in chunks] == [1000, 4998, 7000, 11_000]


def test_a_new_connection_waits_for_the_end_of_the_old() -> None:
    """The last chunk lasts longer than its connection: no chunk overlaps another."""
    file, cutter = clip(bf=0, seconds=5), Cutter(epoch_s=EPOCH_S)

    chunks = cut(file, cutter=cutter) + cut(file, lambda _, taken: taken + 4.5, cutter)

    assert_honest(chunks)
    assert chunks[2].held_ms == 500
    assert chunks[2].start_ms == chunks[1].end_ms


def test_pictures_that_need_what_was_never_seen_are_dropped_and_counted() -> None:
    """Of an open GOP those that are shown before its keyframe need the GOP before."""
    cutter = Cutter(epoch_s=EPOCH_S)

    chunks = cut(clip(gop=12, open_gop=True), lambda _, taken: None if taken < 0.39 else taken, cutter)

    assert_honest(chunks)
    assert all(each.chunk.open_gop for each in chunks)
    assert cutter.counts.dropped == 2


def test_a_burst_at_the_start_is_not_taken_for_time() -> None:
    """A server sends its last seconds at once; its chunks wait until that is over, then are named by the truth."""
    file = clip(bf=0, gop=25, seconds=15)

    chunks = cut(file, lambda _, taken: max(taken, 8.0))

    assert_honest(chunks)
    assert [each.start_ms - NOON_MS for each in chunks] == [0, 3000, 6000, 9000, 12_000]


def test_an_endless_burst_is_bounded() -> None:
    """An upload faster than time does not fill the memory: after a minute of media chunks come out as they are."""
    cutter, held = Cutter(epoch_s=EPOCH_S), 0
    file = clip(bf=0, fps=5, gop=5, seconds=120)
    with opened(file) as container:
        cutter.connect(SourceTracks(container, "camera"))
        for packet in container.demux():
            if packet.size:
                held += len(cutter.add(packet, 0.0))

    assert held >= 19


@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_jitter_moves_no_chunk(seed: int) -> None:
    """Packets up to 300 ms late, now and then: names within 40 ms of when a keyframe was sent."""
    moments = [(seed * 7919 + at * 104_729) % 300 / 1000 for at in range(30)]
    file = clip(bf=2, gop=25)

    def jitters(_packet: AnyPacket, taken: float) -> float:
        at = int(taken * 2) % 30
        return max(taken, int(taken * 2) / 2 + moments[at])

    chunks = cut(file, jitters)

    assert_honest(chunks)
    for at, each in enumerate(chunks):
        assert abs(each.start_ms - NOON_MS + 80 - at * 3000) < 40
