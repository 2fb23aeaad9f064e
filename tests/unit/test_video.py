"""A chunk is read without decoding, and a hostile one costs nothing but its rejection."""

import random
import struct
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from segmenter.muxer import one_chunk
from segmenter.pattern import pattern_clip
from sluice import video
from sluice.boxes import MOST
from sluice.errors import UnusableInputError
from sluice.video import probe
from tests.builders import NOON_MS, a_small_chunk

CHUNK = a_small_chunk()
BODY = CHUNK.body
MOOF_END = len(CHUNK.init) + struct.unpack_from(">I", CHUNK.media)[0]
KEY = "chunks/gate/x.mp4"


def a_box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def claiming(kind: bytes, offset: int, number: int) -> bytes:
    """The chunk with one 32-bit field of a box overwritten."""
    at = BODY.index(kind) + 4 + offset
    return BODY[:at] + struct.pack(">I", number) + BODY[at + 4 :]


def test_a_chunk_says_what_is_in_it() -> None:
    """Tracks with their codecs, and each packet with its times."""
    found = probe(BODY, where=KEY)

    assert (found.video.codec, found.video.profile, found.video.width, found.video.height) == ("h264", "High", 320, 180)
    assert found.audio == video.AudioTrack(codec="aac", sample_rate_hz=48_000, channels=2)
    assert [each.keyframe for each in found.video.packets].count(True) == CHUNK.keyframes
    assert len(found.video.packets) == CHUNK.frames
    assert found.video.packets[0].pts * found.video.time_base * 1000 == NOON_MS - 1_577_836_800_000
    assert not found.truncated


@pytest.mark.parametrize("codec", ["h265", "mpeg4", "mjpeg", "vp9"])
def test_other_codecs_are_read_too(codec: str) -> None:
    """Whatever a client of the bucket puts there."""
    found = probe(pattern_clip(codec=codec, seconds=1, size=(160, 96)), where=KEY)

    assert found.video.codec == {"h265": "hevc"}.get(codec, codec)
    assert len(found.video.packets) == 25


def test_a_change_of_parameter_sets_is_seen() -> None:
    """A camera that changes its resolution in mid-stream says so in the stream alone."""
    first = pattern_clip(container="mpegts", seconds=1, size=(160, 96))
    second = pattern_clip(container="mpegts", seconds=3, size=(320, 180), gop=25)

    steady = probe(one_chunk(first, anchor_ms=NOON_MS).body, where=KEY)
    changing = probe(one_chunk(first + second, anchor_ms=NOON_MS).body, where=KEY)

    assert steady.video.parameter_sets <= 1
    assert changing.video.parameter_sets == 2


def test_what_is_whole_of_a_truncated_chunk_is_told() -> None:
    """An upload that broke off still shows what the camera sends."""
    found = probe(BODY[: len(BODY) // 2], where=KEY)

    assert found.truncated
    assert 0 < len(found.video.packets) < CHUNK.frames


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"", "an empty object", id="empty"),
        pytest.param(b"a poem\n" * 50, "starts with b'a poem", id="text"),
        pytest.param(bytes(5000), "starts with b'\\x00", id="zeros"),
        pytest.param(BODY[:7], "starts with", id="cut-in-first-box"),
        pytest.param(BODY[: len(CHUNK.init) // 2], "cut off within its moov", id="cut-in-moov"),
        pytest.param(BODY[: MOOF_END - 4], "cut off within its moof", id="cut-in-moof"),
        pytest.param(BODY[: MOOF_END + 20], "whole frame, found none", id="cut-in-first-frame"),
        pytest.param(CHUNK.init, "whole frame, found none", id="init-alone"),
        pytest.param(CHUNK.media, "starts with", id="media-alone"),
        pytest.param(a_box(b"ftyp", b"isom") + a_box(b"mdat", bytes(99)), "without moov", id="no-moov"),
        pytest.param(a_box(b"ftyp", b"isom") + a_box(b"moov"), "expected", id="empty-moov"),
        pytest.param(a_box(b"ftyp") + a_box(b"moov", a_box(b"trak") * 17), "at most 16 tracks", id="tracks"),
        pytest.param(a_box(b"ftyp") + a_box(b"free") * MOST, f"more than {MOST} boxes", id="boxes"),
        pytest.param(claiming(b"trun", 4, 0x7FFFFFFF), "at most 2097152 samples", id="samples"),
        pytest.param(pattern_clip(size=(160, 96), seconds=1)[:1500], "without moov", id="moov-at-the-end"),
    ],
)
def test_hopeless_input_is_refused(body: bytes, said: str) -> None:
    """It names what was expected, what was found, and the object."""
    with pytest.raises(UnusableInputError, match=KEY) as caught:
        probe(body, where=KEY)

    assert said in str(caught.value)


def test_a_chunk_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything looks into it."""
    monkeypatch.setattr(video, "MAX_BYTES", len(BODY) - 1)

    with pytest.raises(UnusableInputError, match="at most"):
        probe(BODY, where=KEY)


def test_a_picture_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library must not allocate what a few bytes claim."""
    monkeypatch.setattr(video, "MAX_PIXELS", 320 * 180 - 1)

    with pytest.raises(UnusableInputError, match="found 320x180"):
        probe(BODY, where=KEY)


def test_too_many_packets_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk lasts seconds; what holds more packets is none."""
    monkeypatch.setattr(video, "MAX_PACKETS", 10)

    with pytest.raises(UnusableInputError, match="at most 10 packets"):
        probe(BODY, where=KEY)


def test_a_playlist_is_not_followed() -> None:
    """A chunk is data: nothing in it makes the function open a connection."""
    asked = list[str]()

    class Listening(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Listening)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{server.server_port}/a.ts\n"

    try:
        for body in (playlist.encode(), a_box(b"ftyp", b"isom") + playlist.encode()):
            with pytest.raises(UnusableInputError):
                probe(body, where=KEY)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert asked == []


def test_damage_anywhere_is_read_or_refused() -> None:
    """300 damaged chunks: no other error leaves the module."""
    dice = random.Random(20)
    outcomes: dict[str, Any] = {"read": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(BODY[: dice.choice([len(BODY), MOOF_END + 2000])])
        for _ in range(dice.choice([1, 3, 30])):
            damaged[dice.randrange(dice.choice([len(CHUNK.init), MOOF_END, len(damaged)]))] = dice.randrange(256)
        try:
            probe(bytes(damaged), where=KEY)
            outcomes["read"] += 1
        except UnusableInputError:
            outcomes["refused"] += 1

    assert min(outcomes.values()) > 20
