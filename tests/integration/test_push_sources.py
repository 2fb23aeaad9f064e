"""FFmpeg pushes, as docs/ingest.md says, through the door and into the demuxer: every picture arrives."""

import asyncio
import contextlib
import random
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import av
import pytest

from segmenter.ingest.front import Front
from segmenter.ingest.handover import Handover
from segmenter.ingest.rtmp import RtmpFront
from segmenter.pattern import pattern_clip
from segmenter.source import Connection, SourceError
from segmenter.sources import feed
from segmenter.sources.pushed import PushedSource
from tests.integration.pushes import PATIENCE_S, received, sending, sent, until

KEY: Final = "s3cret"
FRAGMENTED: Final = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")


class Door:
    """Both fronts in a thread, and a worker's source for the camera `gate`."""

    def __init__(self) -> None:
        self.source = PushedSource(silent_s=2.5)  # fragments come a second apart
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.http = Front(host="127.0.0.1", port=0, pages={}, admit=self._admit, hand_over=self._hand_over)
        self.rtmp = RtmpFront(host="127.0.0.1", port=0, admit=self._admit, hand_over=self._hand_over)
        self._threads = ThreadPoolExecutor(2)
        for front in (self.http, self.rtmp):
            asyncio.run_coroutine_threadsafe(front.open(), self._loop).result(PATIENCE_S)

    @property
    def url(self) -> str:
        """Where FFmpeg pushes by HTTP."""
        return f"http://127.0.0.1:{self.http.port}/ingest/gate"

    def opening(self) -> "Future[Connection]":
        """As the camera's thread does it."""
        return self._threads.submit(self.source.open)

    def pushed(self, body: bytes, *, whole: bool = True) -> tuple[socket.socket, SourceError]:
        """Push *body* as it is, by hand; returns why it is not taken."""
        sock = socket.create_connection(("127.0.0.1", self.http.port), timeout=PATIENCE_S)
        opening = self.opening()
        length = len(body) if whole else 1 << 40
        head = f"PUT /ingest/gate HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n"
        sending = threading.Thread(target=_send, args=(sock, head.encode() + body))
        sending.start()
        error = opening.exception(PATIENCE_S)
        assert isinstance(error, SourceError)
        sending.join(PATIENCE_S)
        return sock, error

    def close(self) -> None:
        """End everything."""
        self.source.interrupt()
        for front in (self.http, self.rtmp):
            asyncio.run_coroutine_threadsafe(front.close(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()
        self._threads.shutdown()

    def _admit(self, camera: str, key: str) -> bool:
        return (camera, key) == ("gate", KEY)

    def _hand_over(self, handover: Handover, sock: socket.socket) -> None:
        self.source.offer(handover, sock)


def _send(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it may be refused meanwhile
        sock.sendall(data)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(pattern_clip(size=(320, 180), seconds=2, gop=25, audio=True))
    return path


@pytest.mark.parametrize(
    "arguments",
    [("-f", "mpegts"), ("-f", "mp4", *FRAGMENTED), ("-f", "flv"), ("-f", "matroska")],
    ids=lambda arguments: arguments[1],
)
def test_every_picture_of_an_http_push_arrives(door: Door, clip: Path, arguments: tuple[str, ...]) -> None:
    """In order, and FFmpeg is told that all was taken."""
    with sending(clip, "-c", "copy", *arguments, "-method", "PUT", f"{door.url}?key={KEY}") as ffmpeg:
        connection = door.source.open()
        sound = len(connection.container.streams.audio)
        came, reason = received(connection)
        connection.close()
        code = ffmpeg.wait(PATIENCE_S)

    assert came == sent(clip)
    assert (reason, sound, code) == (None, 1, 0)


def test_every_picture_of_an_rtmp_push_arrives(door: Door, clip: Path) -> None:
    """The other door, the same source."""
    with sending(clip, "-c", "copy", "-f", "flv", f"rtmp://127.0.0.1:{door.rtmp.port}/gate/{KEY}") as ffmpeg:
        connection = door.source.open()
        came, reason = received(connection)
        connection.close()
        code = ffmpeg.wait(PATIENCE_S)

    assert came == sent(clip)
    assert (reason, code) == (None, 0)


def test_a_sender_with_another_key_is_told_so(door: Door, clip: Path) -> None:
    """FFmpeg shows the answer if it asks first, and does not show the key."""
    field = ("-headers", "Authorization: Bearer wrong\r\n")
    with sending(clip, "-c", "copy", "-f", "mpegts", *field, "-send_expect_100", "1", door.url) as ffmpeg:
        _, said = ffmpeg.communicate(timeout=PATIENCE_S)

    assert ffmpeg.returncode != 0
    assert "401 Unauthorized" in said


def test_the_newest_push_wins(door: Door, clip: Path) -> None:
    """A camera that lost its network comes again before anybody knows that its old connection is dead."""
    target = ("-c", "copy", "-f", "mpegts", "-method", "PUT", f"{door.url}?key={KEY}")
    with sending(clip, *target, loop=True):
        first = door.source.open()
        packets = first.packets()
        next(packets)
        with sending(clip, *target):
            with pytest.raises(SourceError) as caught:
                for _ in packets:
                    pass
            first.close()
            second = door.source.open()
            came, reason = received(second)
            second.close()

    assert caught.value.reason == "ended"
    assert "replaced" in caught.value.detail
    assert came == sent(clip)
    assert reason is None


@pytest.mark.parametrize(("happens", "reason"), [(signal.SIGKILL, "ended"), (signal.SIGSTOP, "silent")])
def test_a_camera_that_fails_is_let_in_again(door: Door, clip: Path, happens: signal.Signals, reason: str) -> None:
    """What came before is kept, and why it ended is told."""
    target = ("-c", "copy", "-f", "mpegts", "-method", "PUT", f"{door.url}?key={KEY}")
    with sending(clip, *target, loop=True) as ffmpeg:
        connection = door.source.open()
        packets = connection.packets()
        next(packets)
        ffmpeg.send_signal(happens)
        with pytest.raises(SourceError) as caught:
            for _ in packets:
                pass
        connection.close()
    with sending(clip, *target):
        connection = door.source.open()
        came, after = received(connection)
        connection.close()

    assert caught.value.reason == reason
    assert (came, after) == (sent(clip), None)


def test_a_source_that_waits_can_be_interrupted(door: Door) -> None:
    """A camera that is removed before it ever came leaves no thread behind."""
    opening = door.opening()

    door.source.interrupt()

    with pytest.raises(SourceError, match="stopped"):
        opening.result(PATIENCE_S)


def test_a_source_that_reads_can_be_interrupted(door: Door, clip: Path) -> None:
    """At once, not when the next byte comes."""
    with sending(clip, "-c", "copy", "-f", "mpegts", "-method", "PUT", f"{door.url}?key={KEY}", loop=True) as ffmpeg:
        connection = door.source.open()
        packets = connection.packets()
        next(packets)
        door.source.interrupt()
        with pytest.raises(SourceError, match="stopped"):
            for _ in packets:
                pass
        connection.close()
        assert ffmpeg.wait(PATIENCE_S) != 0


@pytest.mark.parametrize(
    ("body", "reason", "status"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n" * 100, "garbage", 400),
        (random.Random(1).randbytes(4_000_000), "garbage", 400),
        (b"\x47" + random.Random(2).randbytes(12_000_000), "garbage", 400),
        (b"\x00\x00\x00\x18ftypisom" + random.Random(3).randbytes(12_000_000), "garbage", 400),
        (b"\x00\x00\x00\x10ftypisom\0\0\0\0" + b"\x7f\xff\xff\xffmoov" + bytes(12_000_000), "garbage", 400),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0" + random.Random(4).randbytes(12_000_000), "garbage", 400),
        (b"\x1aE\xdf\xa3" + random.Random(5).randbytes(12_000_000), "garbage", 400),
        (pattern_clip(size=(320, 180), seconds=1, container="mpegts")[:188], "garbage", 400),
    ],
    ids=["playlist", "noise", "ts", "mp4", "endless-head", "flv", "matroska", "one-packet"],
)
def test_garbage_is_refused_with_a_reason(door: Door, body: bytes, reason: str, status: int) -> None:
    """Within a bounded number of bytes; whoever pushes it reads why."""
    sock, error = door.pushed(body)
    with sock:
        answer = sock.recv(1000)

    assert error.reason == reason
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_a_body_that_drips_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for tracks ends in bounded time, whoever sends a byte now and then."""
    monkeypatch.setattr(feed, "PROBE_S", 0.3)
    stream = pattern_clip(size=(320, 180), seconds=1, container="mpegts")
    stop = threading.Event()

    def drip(sock: socket.socket) -> None:
        for each in stream:
            if stop.wait(0.05):
                return
            _send(sock, bytes([each]))

    with socket.create_connection(("127.0.0.1", door.http.port), timeout=PATIENCE_S) as sock:
        sock.sendall(f"PUT /ingest/gate?key={KEY} HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n".encode())
        dripping = threading.Thread(target=drip, args=(sock,))
        dripping.start()
        with pytest.raises(SourceError, match="no tracks within"):
            door.source.open()
        stop.set()
        dripping.join(PATIENCE_S)


def test_sound_alone_is_no_camera(door: Door, clip: Path) -> None:
    """It is said what was found."""
    target = ("-vn", "-c", "copy", "-f", "mpegts", "-method", "PUT", f"{door.url}?key={KEY}")
    with sending(clip, *target), pytest.raises(SourceError, match="expected a video track, found audio"):
        door.source.open()


def test_more_streams_than_a_camera_has_are_refused(door: Door, tmp_path: Path) -> None:
    """They cost no more than a look."""
    path = tmp_path / "many.ts"
    with av.open(str(path), "w", format="mpegts") as output:
        tones = [output.add_stream("mp2", rate=48_000) for _ in range(20)]
        frame = av.AudioFrame(format="s16", layout="stereo", samples=1152)
        frame.sample_rate, frame.pts = 48_000, 0
        for tone in tones:
            for packet in (*tone.encode(frame), *tone.encode(None)):
                output.mux(packet)

    sock, error = door.pushed(path.read_bytes() * 2)
    sock.close()

    assert error.reason == "too-large"
    assert "8 streams" in error.detail


def test_a_push_that_nobody_opened_is_closed_by_the_next(door: Door) -> None:
    """A camera that connects again and again holds one descriptor."""
    head = f"PUT /ingest/gate?key={KEY} HTTP/1.1\r\nContent-Length: 9\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", door.http.port), timeout=PATIENCE_S) as first:
        first.sendall(head)
        until(lambda: door.source._offered is not None, "the first push")
        with socket.create_connection(("127.0.0.1", door.http.port), timeout=PATIENCE_S) as second:
            second.sendall(head)

            assert first.recv(100) == b""
