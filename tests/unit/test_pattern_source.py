"""The test pattern as a camera: real time, no drift, and every frame says which it is."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import av
import numpy as np
import pytest

from segmenter.cutter import Cutter
from segmenter.pattern import Strip, pattern_clip, picture, read_strip, square_at
from segmenter.sei import MARK, frame_number, numbered
from segmenter.source import Connection, SourceError
from segmenter.sources.clips import SOUND_LOOP
from segmenter.sources.testpattern import PatternCamera
from segmenter.sources.testpattern import testpattern as pattern_source
from segmenter.tracks import SourceTracks
from sluice.errors import UnusableInputError
from tests.builders import NOON_MS

SMALL = {"size": "160x96", "gop": "10", "fps": "10", "audio": "0"}
CODECS = ("h264", "h265", "mjpeg")


class FakeTime:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits = 0

    def clock(self) -> float:
        """What time.monotonic would say."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """What Event.wait would do, were nothing set."""
        self.now += seconds
        self.waits += 1
        return False


def camera(faked: FakeTime, **options: str) -> PatternCamera:
    return pattern_source({**SMALL, **options}, clock=faked.clock, wait=faked.wait)


@pytest.fixture(name="faked")
def fixture_faked() -> FakeTime:
    return FakeTime()


def taken(connection: Connection, count: int, kind: str = "video") -> list[Any]:
    return list(islice((each for each in connection.packets() if each.stream.type == kind), count))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_every_frame_says_its_number_and_they_go_on_when_the_clip_begins_again(faked: FakeTime, codec: str) -> None:
    """Frame n is shown at n/fps."""
    connection = camera(faked, codec=codec).open()

    packets = taken(connection, 200)

    shown = sorted(packets, key=lambda each: each.pts)
    assert [frame_number(bytes(each)) for each in shown] == list(range(200))
    assert {after.pts - before.pts for before, after in pairwise(shown)} == {shown[0].duration}
    assert all(after.dts > before.dts for before, after in pairwise(packets))
    assert all(each.pts >= each.dts for each in packets)
    assert shown[0].duration * shown[0].time_base == Fraction(1, 10)


def test_pace_never_drifts(faked: FakeTime) -> None:
    """Each burst has a due time of its own: ten hours are ten hours, though waiting always takes a little longer."""
    late = faked.wait

    def wait(seconds: float) -> bool:
        return late(seconds + 0.003)

    connection = pattern_source({**SMALL, "fps": "1", "gop": "1"}, clock=faked.clock, wait=wait).open()
    began = faked.now

    taken(connection, 36_000)

    assert faked.now - began == pytest.approx(36_000, abs=1.3)


def test_packets_come_in_bursts(faked: FakeTime) -> None:
    """Waking up is what costs: five times a second, whatever the frame rate and the sound."""
    connection = camera(faked, fps="50", audio="1").open()

    taken(connection, 500)

    assert faked.waits == 50


def test_a_reader_that_has_slept_begins_anew(faked: FakeTime) -> None:
    """Minutes of packets at once are no camera."""
    packets = camera(faked).open().packets()
    next(packets)
    faked.now += 60

    with pytest.raises(SourceError, match=r"^ended: nothing was read for"):
        list(islice(packets, 1000))


def test_no_number_comes_twice_after_a_reconnect(faked: FakeTime) -> None:
    """A new connection starts with a keyframe of its own, where the camera is by then."""
    source = camera(faked)
    before = taken(source.open(), 14)
    faked.now += 3

    after = taken(source.open(), 1)[0]

    assert after.is_keyframe
    assert frame_number(bytes(after)) == 50
    assert max(frame_number(bytes(each)) or 0 for each in before) < 50


@pytest.mark.parametrize("codec", CODECS)
def test_the_strip_of_each_decoded_frame_is_its_number_in_the_clip(faked: FakeTime, codec: str) -> None:
    """And the number in the packet agrees with it, modulo the clip's length."""
    connection = camera(faked, codec=codec, bf="2").open()
    decoder = connection.container.streams.video[0].codec_context

    frames = [frame for each in taken(connection, 170) for frame in decoder.decode(each)]

    read = [read_strip(frame.to_ndarray(format="rgb24")).number for frame in frames]
    assert len(read) >= 165
    assert {after.pts - before.pts for before, after in pairwise(frames)} == {connection_step(connection)}
    assert read == [number % 80 for number in range(len(read))]


def connection_step(connection: Connection) -> int:
    """Ticks from frame to frame."""
    return int(1 / (10 * connection.container.streams.video[0].time_base))


def test_sound_goes_on_where_it_begins_again(faked: FakeTime) -> None:
    """The loop holds whole waves, and packets touch: no click, no gap."""
    connection = camera(faked, audio="1").open()
    decoder = connection.container.streams.audio[0].codec_context
    packets = taken(connection, 3 * SOUND_LOOP, "audio")

    frames = [frame for each in packets for frame in decoder.decode(each)]

    wave = np.concatenate([each.to_ndarray()[0] for each in frames[2:]])
    assert {after.pts - before.pts for before, after in pairwise(packets)} == {1024}
    turned = wave * np.exp(-2j * np.pi * 440 * np.arange(len(wave)) / 48_000)
    phases = np.unwrap(np.angle(turned[: len(turned) // 4800 * 4800].reshape(-1, 4800).mean(axis=1)))
    assert np.ptp(phases) < 0.05


def test_chunks_of_it_touch(faked: FakeTime) -> None:
    """The cutter takes it for a camera, over the ends of the clip, and FFmpeg plays them without a word."""
    connection = camera(faked, audio="1", size="320x180").open()
    cutter = Cutter(epoch_s=NOON_MS / 1000)
    chunks = cutter.connect(SourceTracks(connection.container, "camera"))

    for packet in islice(connection.packets(), 1200):
        chunks += cutter.add(packet, faked.now)
    chunks += cutter.end()

    assert {each.session for each in chunks} == {1}
    assert sum(each.chunk.frames for each in chunks) + cutter.counts.dropped >= 200
    assert cutter.counts.dropped == cutter.counts.sound_dropped == cutter.counts.waiting == 0
    stream = chunks[0].chunk.init + b"".join(each.chunk.media for each in chunks)
    with av.open(io.BytesIO(stream), "r") as container:
        numbers = [frame_number(bytes(each)) for each in container.demux(video=0) if each.size]
    assert sorted(number for number in numbers if number is not None) == list(range(len(numbers)))


def test_cameras_with_the_same_options_share_a_clip(faked: FakeTime) -> None:
    """It is encoded once, and given back when the last of them is gone."""
    first, second, other = (camera(faked).open(), camera(faked).open(), camera(faked, gop="9").open())

    clips = [each._clip for each in (first, second, other)]  # type: ignore[attr-defined]

    assert clips[0] is clips[1] is not clips[2]


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("size", "15x16", "size as WIDTHxHEIGHT"),
        ("size", "641x360", "size as WIDTHxHEIGHT"),
        ("size", "640x3842", "size as WIDTHxHEIGHT"),
        ("size", "640", "size as WIDTHxHEIGHT"),
        ("fps", "0", "fps from 1 to 60"),
        ("fps", "25.5", "fps from 1 to 60"),
        ("gop", "1501", "gop from 1 to 1500"),
        ("bf", "-1", "bf from 0 to 4"),
        ("audio", "yes", "audio from 0 to 1"),
        ("codec", "vp9", "codec among h264, h265, mjpeg"),
        ("colour", "red", "options among audio, bf, codec"),
    ],
)
def test_what_it_cannot_draw_is_refused_by_name(option: str, value: str, named: str) -> None:
    """The message says what would do."""
    with pytest.raises(UnusableInputError, match=named):
        pattern_source({option: value})


def test_a_clip_that_takes_minutes_to_encode_is_refused() -> None:
    """Size times length is bounded, not each alone."""
    with pytest.raises(UnusableInputError, match="million pixels"):
        pattern_source({"size": "3840x2160", "gop": "1500"})


def test_a_small_picture_has_no_room_for_the_clock() -> None:
    """Blocks of a few pixels do not survive an encoder."""
    with pytest.raises(UnusableInputError, match="from 320x180"):
        pattern_source({"size": "160x96", "live": "1"})


def test_interrupted_it_ends(faked: FakeTime) -> None:
    """Waiting and opening both: a camera that is removed is gone at once."""
    source = pattern_source(SMALL)
    packets = source.open().packets()

    source.interrupt()

    assert list(packets) == []
    with pytest.raises(SourceError, match=r"^stopped"):
        source.open()


@pytest.mark.parametrize(("codec", "bf"), [("h264", "0"), ("h264", "2"), ("h265", "2")])
def test_live_pictures_show_the_clock(codec: str, bf: str) -> None:
    """Drawn when they are due: number and time from the strip, the number from the packet too."""
    source = pattern_source({"size": "320x180", "live": "1", "bf": bf, "gop": "5", "audio": "1", "codec": codec})
    connection = source.open()
    decoder = connection.container.streams.video[0].codec_context

    packets = taken(connection, 20)
    read = [read_strip(frame.to_ndarray(format="rgb24")) for each in packets for frame in decoder.decode(each)]

    now_ms = time.time_ns() // 1_000_000
    source.interrupt()
    connection.close()
    assert all(each.dts is not None and each.pts is not None for each in packets)
    shown = sorted(frame_number(bytes(each)) or 0 for each in packets)
    assert [each.number for each in read] == shown[: len(read)] == list(range(shown[0], shown[0] + len(read)))
    assert all(0 <= now_ms - (each.utc_ms or 0) < 10_000 for each in read)
    assert len(read) > 10


def test_a_worker_that_plays_clips_holds_no_numpy() -> None:
    """Drawing and encoding need ten times what a camera may have; that memory is another process's."""
    code = "import sys, segmenter.sources.testpattern as t; c = t.testpattern({'size': '32x32'}).open(); "
    code += "next(iter(c.packets())); sys.exit('numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("utc_ms", [None, NOON_MS, (1 << 48) - 1])
@pytest.mark.parametrize("number", [0, 1, 43_690, 65_535])
@pytest.mark.parametrize("size", [(320, 180), (640, 360), (1280, 720)])
def test_the_strip_survives_a_bad_encoder(size: tuple[int, int], number: int, utc_ms: int | None) -> None:
    """Both layouts are told apart and read, from JPEG at its worst."""
    image = picture(number, size, utc_ms=utc_ms)

    assert read_strip(worst_jpeg(image)) == Strip(number=number, utc_ms=utc_ms)


def worst_jpeg(image: Any) -> Any:
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = image.shape[1], image.shape[0], "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.options = {"qmin": "31", "qmax": "31"}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p")
    decoder: Any = av.CodecContext.create("mjpeg", "r")
    return decoder.decode(context.encode(frame)[0])[0].to_ndarray(format="rgb24")


def test_a_strip_that_contradicts_itself_is_no_number() -> None:
    """A wrong time would be worse than none."""
    image = picture(7, (640, 360), utc_ms=NOON_MS)
    image[-8:, :20] = 200 - image[-8:, :20]

    with pytest.raises(UnusableInputError, match="a readable strip"):
        read_strip(image)


def test_the_square_and_the_strip_agree() -> None:
    """square_at() of the strip's number is where the magenta is."""
    image = picture(123, (640, 360))
    x0, y0, x1, y1 = square_at(read_strip(image).number)

    found = np.argwhere((image == (255, 0, 255)).all(axis=2))

    assert found.min(axis=0).tolist() == [round(y0 * 360), round(x0 * 640)]
    assert found.max(axis=0).tolist() == [round(y1 * 360) - 1, round(x1 * 640) - 1]


def marked_packets(codec: str, container: str) -> Iterator[tuple[Any, bytes, bytes]]:
    clip = pattern_clip(size=(160, 96), seconds=1, bf=0, codec=codec, container=container)
    length_size = 4 if container == "mp4" else None
    with av.open(io.BytesIO(clip), "r") as source:
        stream = source.streams.video[0]
        for at, each in enumerate(packet for packet in source.demux(stream) if packet.size):
            name = {"h264": "h264", "h265": "hevc"}[codec]
            yield stream, bytes(each), numbered(memoryview(each), 10**11 + at, codec=name, length_size=length_size)


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_numbered_packet_decodes_as_before(codec: str, container: str) -> None:
    """The number is user data: after an access unit delimiter, before everything else."""
    marked = list(marked_packets(codec, container))
    decoder = marked[0][0].codec_context

    frames = [frame for *_, body in marked for frame in decoder.decode(av.Packet(body))] + decoder.decode(None)

    if container == "mpegts":  # which has a delimiter before each frame
        assert all(body.startswith(before[:6]) for _, before, body in marked)
    assert [frame_number(body) for *_, body in marked] == [10**11 + at for at in range(25)]
    assert [read_strip(frame.to_ndarray(format="rgb24")).number for frame in frames] == list(range(25))


@pytest.mark.parametrize("packet", [b"", b"\0" * 40, MARK, MARK + b"12345", MARK + b"12345678901x"])
def test_a_packet_without_number_has_none(packet: bytes) -> None:
    """Foreign or torn packets are no error."""
    assert frame_number(packet) is None
