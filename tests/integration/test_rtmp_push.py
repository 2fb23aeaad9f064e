"""RTMP as FFmpeg sends it, through the door and into the demuxer: every payload arrives, and nobody is disturbed."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

import av
import pytest

from segmenter.ingest import listener
from segmenter.ingest.handover import Handover
from segmenter.ingest.rtmp import RtmpFront
from segmenter.ingest.rtmp_flv import FlvReader, flv_reader
from segmenter.pattern import pattern_clip
from sluice.errors import UnavailableError
from tests.rtmp_peer import HANDSHAKE as GREETING
from tests.services.server import freeze

PATIENCE_S: Final = 20.0
KEYS: Final = {("gate", "gate-key"), ("door", "door-key")}


class Door:
    """A front process in a thread, and the worker's end of what it hands over."""

    def __init__(self) -> None:
        self.pushes: queue.Queue[FlvReader] = queue.Queue()
        self._taken: list[FlvReader] = []
        self.silent_s = 5.0
        self.down = False
        self.front = RtmpFront(host="127.0.0.1", port=0, admit=lambda *pair: pair in KEYS, hand_over=self._take)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def open(self) -> None:
        """Listen, in a thread."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.front.open(), self.loop).result(PATIENCE_S)

    def close(self) -> None:
        """End the thread and every push."""
        asyncio.run_coroutine_threadsafe(self.front.close(), self.loop).result(PATIENCE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        for reader in self._taken:
            reader.close()

    def url(self, path: str) -> str:
        """Where a publisher goes."""
        return f"rtmp://127.0.0.1:{self.front.port}/{path}"

    def next(self) -> FlvReader:
        """The next push that was let in."""
        return self.pushes.get(timeout=PATIENCE_S)

    def _take(self, handover: Handover, sock: socket.socket) -> None:
        if self.down:
            raise UnavailableError("worker", "it starts")
        passed = Handover(**json.loads(json.dumps(asdict(handover))))
        self._taken.append(flv_reader(passed, sock, silent_s=self.silent_s))
        self.pushes.put(self._taken[-1])


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    door.open()
    yield door
    door.close()


@pytest.fixture
def publish(door: Door, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts an ffmpeg that publishes a clip, and ends it with the test."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("ffmpeg is missing")
    started: list[subprocess.Popen[bytes]] = []

    def start(clip: bytes, path: str, *options: str, loop: bool = False) -> subprocess.Popen[bytes]:
        file = tmp_path / f"{hashlib.sha256(clip).hexdigest()}.mp4"
        file.write_bytes(clip)
        source = [*(["-stream_loop", "-1"] if loop else []), "-re", "-i", str(file), "-c", "copy", *options]
        command = [str(ffmpeg), "-nostdin", "-v", "error", *source, "-f", "flv", door.url(path)]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def payloads(container: Any, most: int | None = None) -> dict[str, list[str]]:
    """Hashes of all packets, by type of track, in the order of their decoding."""
    found: dict[str, list[str]] = {}
    for packet in container.demux():
        if packet.size:
            found.setdefault(packet.stream.type, []).append(hashlib.sha256(bytes(packet)).hexdigest())
        if most is not None and sum(map(len, found.values())) >= most:
            break
    return found


def of_clip(clip: bytes) -> dict[str, list[str]]:
    with av.open(io.BytesIO(clip)) as container:
        return payloads(container)


def of_push(reader: FlvReader, most: int | None = None) -> dict[str, list[str]]:
    # Without audio the library would look for some for 5 s.
    with av.open(cast("Any", reader), format="flv", options={"analyzeduration": "1000000"}) as container:
        return payloads(container, most)


def test_every_picture_and_sound_of_ffmpeg_arrives(door: Door, publish: Any) -> None:
    """H.264 with B-frames and AAC go through unchanged, and the publisher's own end is an end in order."""
    clip = pattern_clip(size=(320, 180), seconds=3, audio=True)

    process = publish(clip, "gate/gate-key")
    reader = door.next()
    found = of_push(reader)

    assert found == of_clip(clip)
    assert reader.failure is None
    assert process.communicate(timeout=PATIENCE_S) == (None, b"")
    assert process.returncode == 0


@pytest.mark.parametrize(
    "path", ["ingest/gate?key=gate-key", "live/gate?key=gate-key", "ingest/gate/gate-key", "gate/gate-key"]
)
def test_encoders_write_the_path_in_several_ways(door: Door, publish: Any, path: str) -> None:
    """Camera and key are found in each."""
    clip = pattern_clip(size=(320, 180), seconds=1)

    publish(clip, path)

    assert of_push(door.next()) == of_clip(clip)


def test_h265_goes_through_unchanged(door: Door, tmp_path: Path) -> None:
    """Enhanced RTMP (hvc1), as FFmpeg sends it from version 6 on."""
    clip = pattern_clip(size=(320, 180), seconds=2, codec="h265", audio=True)
    file = tmp_path / "clip.mp4"
    file.write_bytes(clip)

    with subprocess.Popen([sys.executable, "-c", _PUBLISH, str(file), door.url("gate/gate-key")]) as process:
        reader = door.next()
        with av.open(cast("Any", reader), format="flv") as container:
            codec = container.streams.video[0].codec_context.name
            found = payloads(container)

    assert codec == "hevc"
    assert found == of_clip(clip)
    assert process.returncode == 0


_PUBLISH: Final = """
import av, sys
with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w", format="flv") as output:
    tracks = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
    for packet in source.demux():
        if packet.size:
            packet.stream = tracks[packet.stream.index]
            output.mux(packet)
"""
"""Debian's FFmpeg is older; PyAV's own is new enough."""


@pytest.mark.parametrize("path", ["gate/door-key", "cellar/gate-key", "gate", "a/b/c/d"])
def test_without_the_key_nobody_comes_in(door: Door, publish: Any, path: str) -> None:
    """The publisher is told, and ends with an error."""
    process = publish(pattern_clip(size=(320, 180), seconds=1), path)

    _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert b"Server error" in said
    assert door.pushes.empty()


def test_who_guesses_keys_has_to_wait(door: Door, publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher is told how long."""
    monkeypatch.setattr("segmenter.ingest.guesses.MOST", 0)

    process = publish(pattern_clip(size=(320, 180), seconds=1), "gate/gate-key")
    _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert b"too many wrong keys from this address; come again in 60 s" in said


def test_a_worker_that_is_not_there_is_an_error_for_the_publisher(door: Door, publish: Any) -> None:
    """It tries again later, as encoders do."""
    door.down = True

    process = publish(pattern_clip(size=(320, 180), seconds=1), "gate/gate-key")
    _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode != 0
    assert b"it starts" in said


def test_who_wants_to_play_is_refused(door: Door) -> None:
    """There is nothing to play, and the connection does not wait."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", door.url("gate/gate-key"), "-f", "null", "-"]

    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)

    assert done.returncode != 0
    assert b"nothing to play" in done.stderr


def test_a_publisher_that_was_killed_comes_back(door: Door, publish: Any) -> None:
    """The first connection ends with a reason, the second begins like any other."""
    clip = pattern_clip(size=(320, 180), seconds=2)
    first = publish(clip, "gate/gate-key", loop=True)
    reader = door.next()
    assert of_push(reader, 60)["video"]

    first.send_signal(signal.SIGKILL)
    while reader.read(65536):
        pass
    publish(clip, "gate/gate-key")

    assert reader.failure is not None
    assert reader.failure.reason == "ended"
    assert of_push(door.next()) == of_clip(clip)


def test_two_publish_at_once_through_one_door(door: Door, publish: Any) -> None:
    """Each has its own pictures."""
    clips = [pattern_clip(size=size, seconds=2, audio=True) for size in ((320, 180), (176, 144))]

    publish(clips[0], "gate/gate-key")
    first = door.next()
    publish(clips[1], "door/door-key")
    second = door.next()
    found = [of_push(first), of_push(second)]

    assert found == [of_clip(clip) for clip in clips]


def test_a_publisher_that_falls_silent_is_given_up(door: Door, publish: Any) -> None:
    """Its connection is open, and nothing comes."""
    door.silent_s = 0.5
    process = publish(pattern_clip(size=(320, 180), seconds=2), "gate/gate-key", loop=True)
    reader = door.next()
    assert of_push(reader, 60)["video"]

    freeze(process.pid)
    while reader.read(65536):
        pass

    assert reader.failure is not None
    assert reader.failure.reason == "silent"


def test_a_reader_is_interrupted_from_another_thread(door: Door, publish: Any) -> None:
    """Removing a camera does not wait for its next picture."""
    process = publish(pattern_clip(size=(320, 180), seconds=2), "gate/gate-key", loop=True)
    reader = door.next()
    assert of_push(reader, 60)["video"]
    freeze(process.pid)
    timer = threading.Timer(0.2, reader.interrupt)

    timer.start()
    while reader.read(65536):
        pass
    timer.join()

    assert reader.failure is not None
    assert reader.failure.reason == "ended"


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(b"\x16\x03\x01\x02\x00" * 400, id="tls"),
        pytest.param(b"\x03" + bytes(3072) + b"\xff" * 5000, id="noise"),
        pytest.param(b"\x03" + bytes(3072) + b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0", id="huge"),
        pytest.param(b"\x03" + bytes(3072) + (b"\x03\0\0\0\0\0\0\x00\0\0\0\0" * 6000), id="endless"),
    ],
)
def test_nonsense_is_hung_up_on(door: Door, sent: bytes) -> None:
    """At once, not at the end of a patience."""
    with socket.create_connection(("127.0.0.1", door.front.port), timeout=PATIENCE_S) as peer:
        with contextlib.suppress(ConnectionError):
            peer.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while peer.recv(65536):
                pass

    assert door.pushes.empty()


def test_who_drips_is_hung_up_on(door: Door) -> None:
    """The patience is for everything up to the wish to publish, not for each byte."""
    door.front._wait_s = 0.5
    with socket.create_connection(("127.0.0.1", door.front.port), timeout=0.05) as peer:
        sent, answer = 0, None
        peer.send(b"\x03")
        while answer is None and sent < 1000:
            with contextlib.suppress(ConnectionError):
                peer.send(b"\0")
            sent += 1
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                answer = peer.recv(1)

    assert answer == b""


def test_who_waits_longest_gives_way_when_too_many_do(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds connections keeps no camera out."""
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 1)
    with socket.create_connection(("127.0.0.1", door.front.port), timeout=PATIENCE_S) as first:
        with socket.create_connection(("127.0.0.1", door.front.port), timeout=PATIENCE_S) as second:
            second.sendall(GREETING)
            assert second.recv(1) == b"\x03"

        assert first.recv(1) == b""
