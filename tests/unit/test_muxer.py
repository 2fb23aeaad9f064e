"""One chunk from packets: the boxes, the times, the codecs, and the same bytes each time."""

import io
import struct
from fractions import Fraction
from functools import cache
from typing import Any

import av
import pytest

from segmenter.muxer import ANCHOR_EPOCH_MS, Chunk, ChunkMuxer, metadata, one_chunk, opened
from segmenter.pattern import pattern_clip, square_at
from segmenter.tracks import SourceTracks
from sluice.boxes import boxes, find
from sluice.errors import UnusableInputError
from tests.builders import NOON_MS

SMALL = (160, 96)
ANCHOR_S = (NOON_MS - ANCHOR_EPOCH_MS) // 1000

SOURCES = [
    pytest.param({}, id="h264-avcc"),
    pytest.param({"bf": 0}, id="no-b-frames"),
    pytest.param({"container": "mpegts", "audio": True}, id="h264-annexb-adts"),
    pytest.param({"audio": True}, id="aac"),
    pytest.param({"container": "flv", "audio": True}, id="milliseconds"),
    pytest.param({"codec": "h265"}, id="h265"),
    pytest.param({"codec": "h265", "container": "mpegts"}, id="h265-annexb"),
    pytest.param({"fps": Fraction(30000, 1001)}, id="29.97"),
]


@cache
def _clip(**arguments: Any) -> bytes:
    return pattern_clip(**{"size": SMALL, "gop": 25, "seconds": 2, **arguments})


def a_clip(arguments: dict[str, Any]) -> bytes:
    return _clip(**arguments)


def chunk_of(**arguments: Any) -> Chunk:
    return one_chunk(_clip(**arguments), anchor_ms=NOON_MS)


def times(file: bytes, kind: str = "video") -> list[tuple[Fraction, Fraction]]:
    """When each packet is shown and decoded, in seconds."""
    with av.open(io.BytesIO(file), "r") as container:
        stream = next(each for each in container.streams if each.type == kind)
        packets = [each for each in container.demux(stream) if each.size and each.dts is not None]
        return [((each.pts or 0) * each.time_base, (each.dts or 0) * each.time_base) for each in packets]


def shifted(rows: list[tuple[Fraction, Fraction]], by: Fraction | int) -> list[tuple[float, float]]:
    return [(round(float(pts + by), 3), round(float(dts + by), 3)) for pts, dts in rows]


@pytest.mark.parametrize("source", SOURCES)
def test_a_chunk_is_an_init_segment_and_one_fragment(source: dict[str, Any]) -> None:
    """A file that plays and a segment at once: ftyp moov | moof mdat, nothing after."""
    chunk = one_chunk(a_clip(source), anchor_ms=NOON_MS)

    assert [box.kind for box in boxes(chunk.init)] == [b"ftyp", b"moov"]
    assert [box.kind for box in boxes(chunk.media)] == [b"moof", b"mdat"]
    assert list(find(chunk.init, "moov/trak/edts")) == []


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_input_gives_the_same_bytes(source: dict[str, Any]) -> None:
    """A retry after a crash overwrites an object with itself."""
    once, twice = (one_chunk(a_clip(source), anchor_ms=NOON_MS) for _ in range(2))

    assert once == twice
    assert once.sha256 == twice.sha256


@pytest.mark.parametrize("source", SOURCES)
def test_every_frame_keeps_its_time(source: dict[str, Any]) -> None:
    """The first keyframe is shown at the anchor, all others as long after it as in the source."""
    file = a_clip(source)
    chunk = one_chunk(file, anchor_ms=NOON_MS)
    expected = times(file)[: chunk.frames]

    assert shifted(times(chunk.body), -ANCHOR_S) == shifted(expected, -chunk.start)


@pytest.mark.parametrize("container", ["mp4", "mpegts", "flv"])
def test_sound_stays_with_its_picture(container: str) -> None:
    """A reader of the chunk finds audio as far from the video as the source had it: no reorder delay comes between."""
    file = _clip(audio=True, container=container)
    chunk = one_chunk(file, anchor_ms=NOON_MS)
    kept = [row for row in times(file, "audio") if row[0] >= chunk.start]
    heard = times(chunk.body, "audio")

    assert len(heard) > 80
    for found, expected in zip(shifted(heard, -ANCHOR_S), shifted(kept, -chunk.start), strict=False):
        assert found == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_the_init_segment_depends_on_the_tracks_alone(container: str) -> None:
    """Neither time nor the bit rate of picture or sound changes it, so its hash names it."""
    first = chunk_of(audio=True, container=container)
    later = one_chunk(_clip(audio=True, container=container, seconds=3), anchor_ms=NOON_MS + 86_400_000)

    assert first.media != later.media
    assert first.init == later.init
    assert first.init8 == later.init8


def test_the_decode_time_counts_from_2020() -> None:
    """A tfdt is a 64-bit count of the track's timescale since 2020-01-01."""
    chunk = chunk_of(bf=0)

    box = next(find(chunk.media, "moof/traf/tfdt"))
    (version, decode_time) = struct.unpack_from(">B3xQ", chunk.media, box.body)

    assert (version, decode_time) == (1, ANCHOR_S * 12_800)


def test_chunks_of_a_session_are_one_stream() -> None:
    """A second chunk with the same zero starts where the first ends, under the same init segment."""
    file = _clip(seconds=4, audio=True)
    with opened(file) as container:
        tracks = SourceTracks(container, "camera")
        first, zero, made = ChunkMuxer(tracks, anchor_ms=NOON_MS), None, []
        for packet in container.demux():
            if tracks.is_video(packet) and packet.is_keyframe and first.elapsed_s(packet) >= 1:
                zero = first.start if zero is None else zero
                made.append(first.close(following=packet, reason="keyframe"))
                first = ChunkMuxer(tracks, anchor_ms=NOON_MS, zero=zero)
            first.add(packet)
        made.append(first.close())
    stream = made[0].init + b"".join(chunk.media for chunk in made)

    assert len(made) == 4
    assert {chunk.init8 for chunk in made} == {made[0].init8}
    assert [chunk.duration_ms for chunk in made] == [1000] * 4
    assert shifted(times(stream), -ANCHOR_S) == shifted(times(file), 0)


def test_it_is_cut_at_the_first_keyframe_past_the_target() -> None:
    """A chunk starts at a keyframe, so it can only end where the next starts."""
    chunk = one_chunk(_clip(gop=20, seconds=4), anchor_ms=NOON_MS, target_s=1)

    assert (chunk.frames, chunk.keyframes, chunk.duration_ms, chunk.reason) == (40, 2, 1600, "keyframe")


def test_an_endless_gop_is_cut_at_the_limit() -> None:
    """Memory is bounded, whatever the camera does."""
    chunk = one_chunk(_clip(gop=9999, seconds=31, fps=5, bf=0), anchor_ms=NOON_MS)

    assert (chunk.duration_ms, chunk.reason) == (30_000, "limit")


def test_a_chunk_starts_at_a_keyframe() -> None:
    """What comes before the first keyframe can never be shown."""
    with opened(_clip()) as container:
        packets = list(container.demux())
        muxer = ChunkMuxer(SourceTracks(container, "camera"), anchor_ms=NOON_MS)
        for packet in packets[3:]:
            muxer.add(packet)
        chunk = muxer.close()

    assert (chunk.frames, chunk.start) == (25, Fraction(1))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_open_gops_are_flagged(codec: str) -> None:
    """Their playlist must not promise independent segments."""
    assert one_chunk(_clip(codec=codec, gop=12, open_gop=True), anchor_ms=NOON_MS).open_gop
    assert not one_chunk(_clip(codec=codec, gop=12), anchor_ms=NOON_MS).open_gop


@pytest.mark.parametrize(
    ("source", "codec"),
    [
        pytest.param({"audio": True}, "avc1.64000b,mp4a.40.2", id="h264"),
        pytest.param({"codec": "h265"}, "hvc1.1.6.L30.90", id="h265"),
    ],
)
def test_codecs_are_named_as_players_want_them(source: dict[str, Any], codec: str) -> None:
    """RFC 6381, from the very boxes that a player reads."""
    assert chunk_of(**source).codec == codec


def test_sound_that_cannot_be_copied_is_left_out_and_named() -> None:
    """Audio never costs the video."""
    chunk = chunk_of(audio=True, audio_codec="pcm_mulaw", container="mov")

    assert chunk.audio_dropped == "pcm_mulaw"
    assert len(list(find(chunk.init, "moov/trak"))) == 1


def test_the_metadata_says_what_is_in_it() -> None:
    """Every value is text, as object stores want it."""
    chunk = chunk_of(audio=True)

    said = metadata(chunk, camera="gate")

    assert said == {
        "camera": "gate",
        "codec": "avc1.64000b,mp4a.40.2",
        "width": "160",
        "height": "96",
        "fps": "25",
        "frames": "50",
        "keyframes": "2",
        "bitrate": str(chunk.bitrate),
        "sha256": chunk.sha256,
        "open-gop": "false",
        "reason": "end",
    }


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello " * 100, id="text"),
        pytest.param(pattern_clip(size=SMALL, codec="vp9", seconds=1), id="vp9"),
    ],
)
def test_what_is_no_video_is_refused(source: bytes) -> None:
    """With an error that names expected and found, whatever the library raised."""
    with pytest.raises(UnusableInputError):
        one_chunk(source, anchor_ms=NOON_MS)


def test_the_square_is_where_its_function_says() -> None:
    """Detections of the pattern can be checked against arithmetic."""
    with av.open(io.BytesIO(pattern_clip(seconds=1, bf=0)), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]

    for number, frame in enumerate(frames):
        x0, y0, x1, y1 = square_at(number)
        centre = frame[round((y0 + y1) / 2 * 360), round((x0 + x1) / 2 * 640)]
        assert centre[0] > 200
        assert centre[1] < 60
        assert frame[:, :, 1].max() <= 215
        assert (frame[350, 20::40, 1] > 100).tolist() == [bool(number >> bit & 1) for bit in range(15, -1, -1)]
