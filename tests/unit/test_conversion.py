"""What chunks cannot hold is converted: no picture lost while there is time, sound in step, one init for ever."""

import io
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from segmenter import sound as sounds
from segmenter import transcoding
from segmenter.budget import Budget
from segmenter.conversion import Converted, converted
from segmenter.cutter import CutChunk, Cutter
from segmenter.pattern import pattern_clip, picture, read_strip
from segmenter.source import Connection, SourceError
from segmenter.tracks import AnyPacket, SourceTracks
from tests.builders import NOON_MS

SMALL = (320, 180)
VIDEO = {"mjpeg": "mjpeg", "mpeg4": "mpeg4", "vp9": "vp9"}
Packets = list[AnyPacket]


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that took long would cost the next one, however much else this machine has to do."""
    defaults = transcoding.Pictures.__init__.__kwdefaults__
    assert defaults
    monkeypatch.setitem(defaults, "clock", lambda: 0.0)


class Given:
    """A connection to a file; *change* takes its packets and gives those that arrive."""

    gather_s = 0.25
    transcoding = None

    def __init__(
        self, file: bytes, change: Callable[[Packets], Packets] = list, error: SourceError | None = None
    ) -> None:
        self.container: Any = av.open(io.BytesIO(file), "r")
        self._change, self._error = change, error
        self.closed = False

    def packets(self) -> Iterator[AnyPacket]:
        """All at once."""
        yield from self._change([each for each in self.container.demux() if each.size])
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Once."""
        self.container.close()
        self.closed = True


def clip(**arguments: Any) -> bytes:
    return pattern_clip(**{"size": SMALL, "gop": 25, "seconds": 4, **arguments})


def of_codec(codec: str, **arguments: Any) -> bytes:
    return clip(codec=codec, container="nut", **arguments)


def chunks_of(connection: Connection) -> list[CutChunk]:
    cutter = Cutter(epoch_s=NOON_MS / 1000)
    chunks = cutter.connect(SourceTracks(connection.container, "camera"))
    for packet in connection.packets():
        chunks += cutter.add(packet, float((packet.dts or 0) * packet.time_base))
    return chunks + cutter.end()


def stream_of(chunks: Sequence[CutChunk]) -> bytes:
    return chunks[0].chunk.init + b"".join(each.chunk.media for each in chunks)


def pictures_of(file: bytes) -> list[Any]:
    with av.open(io.BytesIO(file), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def numbers_of(file: bytes) -> list[int]:
    return [read_strip(each).number for each in pictures_of(file)]


def wave_of(file: bytes) -> tuple[Any, Fraction, int]:
    """The sound, when it begins, and its rate."""
    with av.open(io.BytesIO(file), "r") as container:
        frames = list(container.decode(audio=0))
    return np.concatenate([each.to_ndarray()[0] for each in frames]), shown_at(frames[0]), frames[0].sample_rate


def shown_at(frame: Any) -> Fraction:
    return Fraction(frame.pts) * Fraction(frame.time_base)


def pitch_of(wave: Any, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate / len(wave))


def played(file: bytes, folder: Path) -> str:
    """What FFmpeg has to say of it."""
    path = folder / "stream.mp4"
    path.write_bytes(file)
    command = ["ffmpeg", "-v", "warning", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stderr


@pytest.mark.parametrize("audio", [True, False])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_what_a_chunk_can_hold_is_not_touched(codec: str, audio: bool) -> None:
    """Conversion costs; the connection itself is given back."""
    given = Given(clip(codec=codec, audio=audio))

    assert converted(given, audio=True) is given


def test_sound_that_is_not_wanted_is_left_out() -> None:
    """No track of it, no packet of it; the picture passes untouched."""
    file = clip(audio=True)
    before = Given(file)
    connection = converted(Given(file), audio=False)

    chunks = chunks_of(connection)

    assert connection.transcoding is None
    assert connection.container.streams.audio == []
    assert chunks[0].chunk.codec.startswith("avc1.")
    assert "mp4a" not in chunks[0].chunk.codec
    assert sum(each.chunk.frames for each in chunks) == sum(each.stream.type == "video" for each in before.packets())


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "vp9"])
def test_pictures_become_h264_and_none_is_lost(codec: str, tmp_path: Path) -> None:
    """Read back by the numbers in the pictures; MPEG-4 with B-frames comes out in the order in which it is shown."""
    connection = converted(Given(of_codec(codec, seconds=10)), audio=True)

    chunks = chunks_of(connection)

    assert connection.transcoding == f"{codec} -> h264"
    assert chunks[0].chunk.codec.startswith("avc1.64")
    assert numbers_of(stream_of(chunks)) == list(range(250))
    assert [each.duration_ms for each in chunks] == [3000, 3000, 3000, 1000]
    assert [each.chunk.keyframes for each in chunks] == [2, 2, 2, 1]
    assert played(stream_of(chunks), tmp_path) == ""


def test_time_stamps_are_the_camera_s(tmp_path: Path) -> None:
    """Whatever its time base: each picture is shown when the camera said."""
    given = Given(of_codec("mjpeg"))
    expected = [Fraction(each.pts or 0) * each.time_base for each in given.packets()]

    packets = list(converted(Given(of_codec("mjpeg")), audio=True).packets())

    assert [Fraction(each.pts or 0) * each.time_base for each in packets] == pytest.approx(expected, abs=1e-5)
    assert all(each.pts == each.dts for each in packets)


def test_init_is_the_same_after_a_reconnect() -> None:
    """Also when other packets come first, and when the rate is guessed anew."""
    file = of_codec("mjpeg", audio=True, audio_codec="pcm_mulaw")

    inits = {chunks_of(converted(Given(file, change), audio=True))[0].chunk.init for change in (list, later)}

    assert len(inits) == 1


def later(packets: Packets) -> Packets:
    return packets[40:]


def test_full_range_becomes_limited_range() -> None:
    """JPEG's white is 255, video's 235: untouched, players would show it washed out or crushed."""
    file = of_codec("mjpeg")

    before, after = pictures_of(file)[0], pictures_of(stream_of(chunks_of(converted(Given(file), audio=True))))[0]

    assert np.abs(before.astype(int) - after).mean() < 3


def test_broken_pictures_are_skipped_and_counted() -> None:
    """Half a JPEG, no JPEG, a hole inside: those around them stay."""

    def broken(packets: Packets) -> Packets:
        bodies = {10: bytes(packets[10])[:900], 20: b"\xff\xd8" + bytes(50), 30: bytes(range(256)) * 4}
        return [with_body(each, bodies[at]) if at in bodies else each for at, each in enumerate(packets)]

    connection = converted(Given(of_codec("mjpeg"), broken), audio=True)

    numbers = numbers_of(stream_of(chunks_of(connection)))

    assert isinstance(connection, Converted)
    assert numbers == [number for number in range(100) if number not in (10, 20, 30)]
    assert connection.counts.pictures_broken == 3
    assert connection.counts.pictures_skipped == 0


def with_body(packet: AnyPacket, body: bytes) -> AnyPacket:
    other: Any = av.Packet(body)
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.time_base, other.stream, other.is_keyframe = packet.time_base, packet.stream, packet.is_keyframe
    made: AnyPacket = other
    return made


def test_a_camera_whose_jpegs_are_all_flawed_is_shown_as_it_is() -> None:
    """Strictness is for the exception."""

    def cut_short(packets: Packets) -> Packets:
        return [with_body(each, bytes(each)[:-60]) for each in packets]

    connection = converted(Given(of_codec("mjpeg"), cut_short), audio=True)

    chunks = chunks_of(connection)

    assert sum(each.chunk.frames for each in chunks) == 100 - transcoding.TOLERANT_AFTER


def test_what_never_becomes_a_picture_is_garbage() -> None:
    """The reader is told, after some seconds."""

    def nonsense(packets: Packets) -> Packets:
        return [with_body(each, bytes(200)) for each in packets]

    connection = converted(Given(of_codec("mjpeg", seconds=12), nonsense), audio=True)

    with pytest.raises(SourceError, match=r"^garbage: 250 pictures in a row"):
        list(connection.packets())


def test_another_size_in_the_stream_is_another_session(tmp_path: Path) -> None:
    """And the first size again a third; sizes that are odd lose a column."""
    other = {1: (241, 135), 2: SMALL}

    def resized(packets: Packets) -> Packets:
        return [
            with_body(each, jpeg(at, other[at // 50])) if at // 50 in other else each for at, each in enumerate(packets)
        ]

    chunks = chunks_of(converted(Given(of_codec("mjpeg", seconds=6), resized), audio=True))

    runs = [[each for each in chunks if each.session == session] for session in (1, 2, 3)]
    assert [each.session for each in chunks] == sorted(each.session for each in chunks)
    assert [(run[0].chunk.width, run[0].chunk.height) for run in runs] == [SMALL, (240, 134), SMALL]
    assert [run[0].because for run in runs] == ["connected", "parameters", "parameters"]
    assert [number for run in runs for number in numbers_of(stream_of(run))] == list(range(150))
    assert all(played(stream_of(run), tmp_path) == "" for run in runs)


def jpeg(number: int, size: tuple[int, int]) -> bytes:
    context: Any = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = *size, "yuvj420p"
    context.time_base = Fraction(1, 25)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    even = picture(number, (size[0] // 2 * 2, size[1] // 2 * 2))
    image[-even.shape[0] :, : even.shape[1]] = even
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj420p")
    return bytes(context.encode(frame)[0])


def test_too_large_a_picture_is_refused() -> None:
    """At the start and in the stream; encoding it would take the machine."""

    def grown(packets: Packets) -> Packets:
        return [with_body(each, jpeg(0, (4112, 32))) for each in packets]

    with pytest.raises(SourceError, match=r"^too-large: 4112x32"):
        converted(Given(of_codec("mjpeg", size=(4112, 32), seconds=0.2)), audio=True)
    with pytest.raises(SourceError, match=r"^too-large: 4112x32"):
        list(converted(Given(of_codec("mjpeg", seconds=0.2), grown), audio=True).packets())


def test_time_that_begins_anew_goes_on() -> None:
    """A camera that restarts its count: the encoder takes it, and the cutter begins a session."""

    def again(packets: Packets) -> Packets:
        start = packets[60].pts or 0
        for each in packets[60:]:
            each.pts = each.dts = (each.pts or 0) - start
        return packets

    chunks = chunks_of(converted(Given(of_codec("mjpeg"), again), audio=True))

    assert [each.because for each in chunks] == ["connected", "reset"]
    assert [each.chunk.frames for each in chunks] == [60, 40]


def test_pictures_out_of_order_are_left_out() -> None:
    """The encoder takes time that goes on only."""

    def swapped(packets: Packets) -> Packets:
        packets[10], packets[11] = packets[11], packets[10]
        return packets

    connection = converted(Given(of_codec("mjpeg"), swapped), audio=True)

    assert numbers_of(stream_of(chunks_of(connection))) == [number for number in range(100) if number != 10]


def test_what_falls_behind_leaves_pictures_out() -> None:
    """An encoder that takes twice as long as the picture lasts gives every other picture, and never more delay."""
    given = Given(of_codec("mjpeg", seconds=40))
    output = av.open(io.BytesIO(), "w", format="nut")
    target = transcoding.set_up(given.container.streams.video[0], output)
    output.start_encoding()
    now = iter(range(10_000_000))
    pictures = transcoding.Pictures(given.container.streams.video[0], target, clock=lambda: next(now) * 0.08)

    made = [each for packet in given.packets() for each in pictures.converted(packet)]

    assert len(made) == pytest.approx(0.9 * 1000 / 2, abs=15)
    assert pictures.skipped == 1000 - len(made)


def test_what_the_reader_does_meanwhile_is_no_work() -> None:
    """It sleeps between bursts; only converting is paid for."""
    given = Given(of_codec("mjpeg"))
    output = av.open(io.BytesIO(), "w", format="nut")
    target = transcoding.set_up(given.container.streams.video[0], output)
    output.start_encoding()
    now = [0.0]
    pictures = transcoding.Pictures(given.container.streams.video[0], target, clock=lambda: now[0])

    for packet in given.packets():
        for _ in pictures.converted(packet):
            now[0] += 1.0

    assert pictures.skipped == 0


def test_a_budget_that_is_kept_is_never_spent() -> None:
    """Work of less than its share leaves no debt, over hours; a hiccup is forgiven."""
    budget = Budget()
    verdicts = set()

    for at in range(100_000):
        budget.earn(0.04)
        budget.spend(0.4 if at % 1000 == 0 else 0.03)
        verdicts.add(budget.spent)

    assert verdicts == {False}


@pytest.mark.parametrize(
    ("codec", "rate"),
    [
        ("pcm_mulaw", 8000),
        ("pcm_alaw", 8000),
        ("pcm_s16le", 48_000),
        ("mp3", 44_100),
        ("libopus", 48_000),
        ("ac3", 32_000),
        ("g722", 16_000),
        ("adpcm_swf", 22_050),
        ("pcm_s16le", 37_800),
    ],
)
def test_other_sound_becomes_aac(codec: str, rate: int, tmp_path: Path) -> None:
    """A tone stays the tone, begins with the picture and lasts as long; the picture passes untouched."""
    connection = converted(Given(with_sound(codec, rate)), audio=True)

    stream = stream_of(chunks_of(connection))

    wave, start, heard_at = wave_of(stream)
    assert connection.transcoding is not None
    assert connection.transcoding.endswith(" -> aac")
    assert heard_at == next(each for each in sounds.RATES if each >= rate)
    assert pitch_of(wave[4096:], heard_at) == pytest.approx(440, abs=1)
    with av.open(io.BytesIO(stream), "r") as container:
        zero = min(shown_at(frame) for frame in container.decode(video=0))
    assert abs(start - zero) <= Fraction(2048, heard_at)
    assert len(wave) / heard_at == pytest.approx(4, abs=2.1 * 1024 / heard_at + 0.05)
    assert numbers_of(stream) == list(range(100))
    assert played(stream, tmp_path) == ""


def with_sound(codec: str, rate: int, *, seconds: int = 4, layout: str = "mono", gap: range = range(0)) -> bytes:
    """A clip whose sound is of *codec*; that within *gap*, in seconds, is missing."""
    out = io.BytesIO()
    pictures = av.open(io.BytesIO(clip(seconds=seconds, bf=0)), "r")
    # NUT holds every codec, but not how long a block of ADPCM is.
    container = "flv" if codec.startswith("adpcm") else "nut"
    with av.open(out, "w", format=container) as output, pictures:
        video = output.add_stream_from_template(pictures.streams.video[0])
        sound: Any = output.add_stream(codec, rate=rate, layout=layout)
        packets: list[Any] = [each for each in pictures.demux() if each.size]
        for each in packets:
            each.stream = video
        samples = rate // 50
        for first in range(0, seconds * rate, samples):
            if gap.start <= first / rate < gap.stop:
                continue
            at = np.arange(first, first + samples) / rate
            tone = (np.sin(at * 2 * np.pi * 440) * 6000).astype(np.int16)
            channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
            frame = av.AudioFrame.from_ndarray(np.repeat(tone, channels)[None, :], format="s16", layout=layout)
            frame.pts, frame.time_base, frame.sample_rate = first, Fraction(1, rate), rate
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for each in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(each)
    return out.getvalue()


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 2)])
def test_channels_stay_up_to_two(layout: str, channels: int) -> None:
    """More are mixed down: players of the web take two."""
    connection = converted(Given(with_sound("pcm_s16le", 48_000, layout=layout)), audio=True)

    assert connection.container.streams.audio[0].codec_context.layout.nb_channels == channels
    assert pitch_of(wave_of(stream_of(chunks_of(connection)))[0][4096:], 48_000) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(("gap", "stays"), [(range(1, 2), False), (range(2, 6), True)])
def test_a_gap_in_the_sound_moves_nothing_that_follows(gap: range, stays: bool) -> None:
    """A short one is filled with silence, a long one stays; the end of the sound is where it was."""
    file = with_sound("pcm_mulaw", 8000, seconds=10, gap=gap)
    whole = with_sound("pcm_mulaw", 8000, seconds=10)

    holed, full = (heard_at(converted(Given(each), audio=True)) for each in (file, whole))

    widest = max(after - before for before, after in pairwise(holed))
    assert abs(holed[-1] - full[-1]) <= Fraction(1024, 8000)
    assert (widest > len(gap) - 0.3) is stays
    assert stays or len(holed) == len(full)


def heard_at(connection: Connection) -> list[Fraction]:
    heard = [(each.pts or 0) * each.time_base for each in connection.packets() if each.stream.type == "audio"]
    assert all(after > before for before, after in pairwise(heard))
    return heard


@pytest.mark.parametrize("drift", [Fraction(999, 1000), Fraction(1), Fraction(1001, 1000)])
def test_sound_never_drifts_from_its_time_stamps(drift: Fraction) -> None:
    """Ten minutes of a camera whose sound card runs fast or slow: never more than the tolerance off."""
    given = Given(with_sound("pcm_mulaw", 8000, seconds=1))
    source = given.container.streams.audio[0]
    output = av.open(io.BytesIO(), "w", format="nut")
    target = sounds.set_up(source, output)
    output.start_encoding()
    sound = sounds.Sound(source, target)
    worst = Fraction(0)

    for at in range(600 * 50):
        packet: Any = av.Packet(b"\xff" * 160)
        packet.time_base, packet.pts = Fraction(1, 1000), round(at * 20 * drift)
        for each in sound.converted(packet):
            said = at * Fraction(20, 1000) * drift
            worst = max(worst, abs((each.pts or 0) * each.time_base + Fraction(2 * 1024, 8000) - said))

    assert worst <= Fraction(1024, 8000) + Fraction(sounds.TOLERANCE_S) + Fraction(1, 50)


def test_broken_sound_costs_no_picture() -> None:
    """It is counted, and what follows is heard."""

    def broken(packets: Packets) -> Packets:
        heard = [each for each in packets if each.stream.type == "audio"]
        bodies = {id(each): b"\0" * 7 for each in heard[20:40]}
        return [with_body(each, bodies[id(each)]) if id(each) in bodies else each for each in packets]

    connection = converted(Given(with_sound("mp3", 44_100), broken), audio=True)

    stream = stream_of(chunks_of(connection))

    assert isinstance(connection, Converted)
    assert connection.counts.sound_broken >= 19
    assert numbers_of(stream) == list(range(100))
    assert pitch_of(wave_of(stream)[0][-40_000:], 44_100) == pytest.approx(440, abs=2)


def test_both_are_converted_side_by_side(tmp_path: Path) -> None:
    """Neither's packets are taken for the other's."""
    connection = converted(Given(of_codec("mjpeg", audio=True, audio_codec="ac3")), audio=True)

    stream = stream_of(chunks_of(connection))

    assert connection.transcoding == "mjpeg -> h264, ac3 -> aac"
    assert numbers_of(stream) == list(range(100))
    assert pitch_of(wave_of(stream)[0][4096:], 48_000) == pytest.approx(440, abs=1)
    assert played(stream, tmp_path) == ""


def test_copied_sound_beside_converted_pictures() -> None:
    """AAC passes, though its track's number was the picture's in the other container."""
    connection = converted(Given(of_codec("mjpeg", audio=True)), audio=True)

    stream = stream_of(chunks_of(connection))

    assert connection.transcoding == "mjpeg -> h264"
    assert numbers_of(stream) == list(range(100))
    assert pitch_of(wave_of(stream)[0][4096:], 48_000) == pytest.approx(440, abs=1)


def test_packets_gather_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each that was waited for, and after no other."""
    now = [0.0]
    slept: list[float] = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", slept.append)

    def slow(packets: Packets) -> Packets:
        return Slow(packets, now)

    list(converted(Given(of_codec("mjpeg"), slow), audio=True).packets())

    assert slept == [0.25] * 10


class Slow(Packets):
    """Every tenth is waited for."""

    def __init__(self, packets: Packets, now: list[float]) -> None:
        super().__init__(packets)
        self._now = now

    def __iter__(self) -> Iterator[AnyPacket]:
        for at in range(len(self)):
            self._now[0] += 0.04 if at % 10 == 0 else 0.001
            yield self[at]


def test_video_of_no_known_codec_is_unsupported() -> None:
    """Said once, by name; nothing is guessed."""
    given = Given(of_codec("mjpeg"))
    stream = SimpleNamespace(codec_context=None, index=0, disposition=0, width=320, height=180)
    given.container = SimpleNamespace(streams=SimpleNamespace(video=[stream], audio=[]))

    with pytest.raises(SourceError, match=r"^unsupported: video that cannot be decoded"):
        converted(given, audio=True)


def test_what_the_converters_hold_comes_before_the_error() -> None:
    """A source that breaks off: its last picture is kept."""
    file = of_codec("mpeg4")
    connection = converted(Given(file, error=SourceError("silent", "nothing for 10 s")), audio=True)
    packets = connection.packets()

    assert len(list(islice(packets, 100))) == 100
    with pytest.raises(SourceError, match=r"^silent"):
        next(packets)


def test_closing_closes_the_source() -> None:
    """And packets gather before they are converted: to the reader, converting one looks like waiting for it."""
    given = Given(of_codec("mjpeg"))
    connection = converted(given, audio=True)

    connection.close()

    assert given.closed
    assert connection.gather_s == 0
    assert converted(Given(clip(audio=True)), audio=False).gather_s == 0.25
