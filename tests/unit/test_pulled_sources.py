"""Films played as cameras, media held back to time, tracks chosen; against files, without a network."""

import os
import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from segmenter.cutter import Cutter
from segmenter.pattern import pattern_clip
from segmenter.source import Connection, SourceError
from segmenter.sources import file
from segmenter.sources.pace import BURST_S, Pace
from segmenter.sources.pulled import pulled
from segmenter.sources.tracked import Chosen
from segmenter.tracks import AnyPacket, SourceTracks, time_of
from sluice.address import SourceAddress, parse_source
from sluice.errors import UnusableInputError

FRAMES = 50


class Impatient(Pace):
    """Time is not waited for."""

    def keep(self, media_s: float) -> None:
        """Go on."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films are read as fast as they can be."""
    monkeypatch.setattr(file, "Pace", Impatient)


def film(folder: Path, **how: Any) -> Path:
    path = folder / "a film?.bin"
    settings = {"size": (64, 48), "seconds": FRAMES / 25, "gop": 25, "bf": 2, "audio": True, **how}
    path.write_bytes(pattern_clip(**settings))
    return path


def opened(path: Path, query: str = "") -> Connection:
    return pulled(parse_source(f"file://{quote(str(path))}{query}"), silent_s=5).open()


def first(connection: Connection, video: int) -> tuple[list[AnyPacket], list[AnyPacket]]:
    """The first *video* packets, and the sound that came with them."""
    index = connection.container.streams.video[0].index
    pictures, sound = list[AnyPacket](), list[AnyPacket]()
    for packet in connection.packets():
        (pictures if packet.stream_index == index else sound).append(packet)
        if len(pictures) == video:
            break
    return pictures, sound


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("container", ["mp4", "mpegts", "matroska", "flv"])
def test_a_looped_film_is_a_stream_without_a_seam(container: str, tmp_path: Path) -> None:
    """Decoding and showing times go on, each round begins with a keyframe, and B-frames keep their order."""
    connection = opened(film(tmp_path, container=container), "?loop=1")
    pictures, _ = first(connection, 5 * FRAMES)
    connection.close()

    frame = pictures[FRAMES].pts - pictures[0].pts  # type: ignore[operator]  # films have times
    decoded = [packet.dts or 0 for packet in pictures]
    shown = sorted(float(time_of(packet)) for packet in pictures)
    assert decoded == sorted(set(decoded))
    assert [later - earlier for earlier, later in pairwise(shown)] == pytest.approx(
        [0.04] * (len(shown) - 1), abs=0.0021
    )
    assert all(pictures[n * FRAMES].is_keyframe for n in range(5))
    assert [pictures[n * FRAMES].pts for n in range(5)] == [(pictures[0].pts or 0) + n * frame for n in range(5)]
    assert bytes(pictures[FRAMES + 1]) == bytes(pictures[1])


@pytest.mark.usefixtures("impatient")
def test_the_sound_of_a_looped_film_never_overlaps(tmp_path: Path) -> None:
    """It is longer than the picture, by most of a frame; no round is shifted by that."""
    connection = opened(film(tmp_path, seconds=53 / 25), "?loop=1")
    pictures, sound = first(connection, 20 * 53)
    connection.close()

    times = [time_of(packet) for packet in sound]
    lasts = Fraction(1024, 48_000)
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert all(lasts / 2 <= step < 2 * lasts for step in steps)
    assert abs(times[-1] - time_of(pictures[-1])) < 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("bf", [0, 2])
def test_all_rounds_of_a_film_are_one_session(bf: int, tmp_path: Path) -> None:
    """Its chunks touch: nobody sees where the film begins anew."""
    connection = opened(film(tmp_path, bf=bf, seconds=2.52), "?loop=1")
    cutter = Cutter(epoch_s=1_790_000_000.0)
    cutter.connect(SourceTracks(connection.container, "film"))
    pictures, sound = first(connection, 10 * 63)
    connection.close()

    chunks = [
        chunk
        for packet in sorted(pictures + sound, key=lambda packet: (packet.dts or 0) * packet.time_base)
        for chunk in cutter.add(packet, float((packet.dts or 0) * packet.time_base) + 5)
    ]

    assert len(chunks) >= 6
    assert {chunk.session for chunk in chunks} == {1}
    assert all(later.start_ms - earlier.end_ms in (-1, 0, 1) for earlier, later in pairwise(chunks))
    assert cutter.counts.dropped == 0


@pytest.mark.usefixtures("impatient")
def test_a_film_that_begins_within_a_gop_is_played_from_its_keyframe(tmp_path: Path) -> None:
    """Each round anew: nothing is left of the one before that could be built on."""
    whole = film(tmp_path, container="mpegts", audio=False).read_bytes()
    cut = tmp_path / "cut.ts"
    packets = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    tables = packets[:3]
    cut.write_bytes(b"".join(tables + packets[len(packets) // 4 :]))

    connection = opened(cut, "?loop=1")
    pictures, _ = first(connection, 60)
    connection.close()

    decoded = [packet.dts or 0 for packet in pictures]
    keyframes = [n for n, packet in enumerate(pictures) if packet.is_keyframe]
    assert keyframes[0] == 0
    assert len(keyframes) > 1
    assert decoded == sorted(set(decoded))


@pytest.mark.usefixtures("impatient")
def test_a_film_ends_for_good_unless_it_is_looped(tmp_path: Path) -> None:
    """It is not tried again."""
    connection = opened(film(tmp_path))
    seen = list[AnyPacket]()

    with pytest.raises(SourceError) as ended:
        seen.extend(connection.packets())

    assert (ended.value.reason, ended.value.final) == ("ended", True)


@pytest.mark.usefixtures("impatient")
def test_a_film_that_is_exchanged_ends_the_loop(tmp_path: Path) -> None:
    """The tracks are others; the next connection finds them."""
    path = film(tmp_path)
    connection = opened(path, "?loop=1")
    packets = connection.packets()
    next(packets)

    path.write_bytes(pattern_clip(size=(128, 96), seconds=1))
    with pytest.raises(SourceError) as ended:
        for _ in packets:
            pass

    assert (ended.value.reason, ended.value.final) in {("ended", False), ("garbage", False)}


def test_a_film_takes_as_long_as_it_lasts(tmp_path: Path) -> None:
    """Interrupting it does not."""
    source = pulled(parse_source(f"file://{quote(str(film(tmp_path)))}"), silent_s=5)
    connection = source.open()
    ended = list[str]()

    def read() -> None:
        try:
            for _ in connection.packets():
                pass
        except SourceError as error:
            ended.append(error.reason)

    reading = threading.Thread(target=read)
    reading.start()
    reading.join(0.7)
    still_playing = reading.is_alive()
    source.interrupt()
    reading.join(1)

    assert still_playing
    assert ended == ["stopped"]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda _path: None, "not-found"),
        (lambda path: path.mkdir(), "garbage"),
        (os.mkfifo, "garbage"),
        (lambda path: path.write_bytes(b"none of it is video " * 1000), "garbage"),
        (lambda path: path.write_bytes(b""), "garbage"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile other.mp4\n"), "unsupported"),
        (lambda path: path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nother.ts\n"), "garbage"),
    ],
    ids=["nothing", "a folder", "a pipe", "text", "an empty file", "a list of films", "a playlist"],
)
def test_what_is_no_film_is_refused_with_a_reason(made: Any, reason: str, tmp_path: Path) -> None:
    """At once: a pipe is not waited for, and a list leads nowhere."""
    path = tmp_path / "film"
    made(path)

    with pytest.raises(SourceError) as refused:
        opened(path)

    assert refused.value.reason == reason


def test_a_loop_is_on_or_off(tmp_path: Path) -> None:
    """Said when the camera is configured, not when it is opened."""
    with pytest.raises(UnusableInputError, match="loop=1"):
        pulled(parse_source("file:///film.mp4?loop=yes"), silent_s=5)


@pytest.mark.parametrize("path", ["/dev/video97", "/dev/null", "/etc/hostname"])
def test_a_device_that_is_not_there_is_named(path: str) -> None:
    """Nothing else is opened in its place."""
    with pytest.raises(SourceError) as refused:
        pulled(parse_source(f"v4l2://{path}"), silent_s=5).open()

    assert refused.value.reason == "no-device"
    assert path in refused.value.detail


class _Clockwork:
    """Time that passes while it is waited for."""

    def __init__(self) -> None:
        self.now, self.waits = 100.0, list[float]()

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def pace(self, *, ahead_s: float = 0.0) -> Pace:
        return Pace(self.wait, ahead_s=ahead_s, now=lambda: self.now)


def frames(start_s: float, count: int) -> Iterator[float]:
    return (start_s + n * 0.04 for n in range(count))


def test_media_is_held_back_to_time() -> None:
    """In bursts: never later than one of them, never early."""
    clock = _Clockwork()
    pace = clock.pace()

    for at in frames(0, 250):
        pace.keep(at)
        assert -1e-9 <= clock.now - 100 - at <= BURST_S + 1e-9

    assert len(clock.waits) < 60


def test_what_comes_in_its_own_time_is_not_held_back() -> None:
    """A live source may begin with what it has."""
    clock = _Clockwork()
    pace = clock.pace(ahead_s=60)

    for at in frames(0, 1000):
        pace.keep(at)

    assert clock.waits == []


@pytest.mark.parametrize("jump_s", [95_443.7, 30.0, -30.0, -95_443.7])
def test_a_clock_that_jumps_is_not_waited_for(jump_s: float) -> None:
    """Nor is time made up for."""
    clock = _Clockwork()
    pace = clock.pace()
    for at in frames(1000, 50):
        pace.keep(at)
    before = clock.now

    for at in frames(1002 + jump_s, 50):
        pace.keep(at)

    assert clock.now - before == pytest.approx(2, abs=0.4)


def test_a_machine_that_slept_does_not_hurry() -> None:
    """What it missed is gone."""
    clock = _Clockwork()
    pace = clock.pace()
    pace.keep(0.0)
    clock.now += 3600
    pace.keep(0.04)
    waited = len(clock.waits)

    for at in frames(0.08, 50):
        pace.keep(at)

    assert len(clock.waits) > waited


class _Track:
    def __init__(self, index: int, kind: str, size: tuple[int, int] = (0, 0)) -> None:
        self.index, self.type, self.disposition, self.discard = index, kind, 0, None
        self.width, self.height = size
        self.codec_context = type("Context", (), {"name": "h264" if kind == "video" else "aac", "sample_rate": 0})


class Container:
    """As many tracks as a playlist of several variants has."""

    def __init__(self, *tracks: _Track, kind: str = "hls") -> None:
        self.format = type("Format", (), {"name": kind})
        self.streams = _Tracks(tracks)


class _Tracks(tuple[_Track, ...]):
    __slots__ = ()

    @property
    def video(self) -> tuple[_Track, ...]:
        return tuple(each for each in self if each.type == "video")

    @property
    def audio(self) -> tuple[_Track, ...]:
        return tuple(each for each in self if each.type == "audio")


ADDRESS = SourceAddress(scheme="http", url="http://cam.test/live.m3u8")


def test_of_a_playlists_variants_the_largest_is_taken_and_the_others_are_left() -> None:
    """With its own sound; nothing else is fetched."""
    sizes = [(320, 180), (1920, 1080), (640, 360), (480, 270), (960, 540)]
    tracks = [
        each for n, size in enumerate(sizes) for each in (_Track(2 * n, "video", size), _Track(2 * n + 1, "audio"))
    ]

    chosen = Chosen(Container(*tracks), ADDRESS)

    assert (chosen.video.index, chosen.audio.index) == (2, 3)  # type: ignore[union-attr]
    assert [each.index for each in tracks if each.discard is None] == [2, 3]


def test_sound_alone_is_no_camera() -> None:
    """It is said what was found instead."""
    with pytest.raises(SourceError) as refused:
        Chosen(Container(_Track(0, "audio"), kind="mpegts"), ADDRESS)

    assert refused.value.reason == "unsupported"
    assert "found audio" in refused.value.detail
