"""Sources that are pulled, against real peers and against hostile ones."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from segmenter.conversion import converted
from segmenter.pattern import pattern_clip
from segmenter.source import Connection, SourceError
from segmenter.sources import network
from segmenter.sources.pieces import Pieces
from segmenter.sources.pulled import pulled
from segmenter.tracks import AnyPacket, SourceTracks
from sluice.address import parse_source
from sluice.local.program import free_port
from tests.services.ffmpeg import LOOPED, ffmpeg, hls, served
from tests.services.line import eventually
from tests.services.rtsp import RtspServer, looped, rtsp_binary
from tests.services.rtsp_udp import rtsp_over_udp
from tests.services.server import freeze
from tests.services.tls import make_certificate, tls_before

SILENT_S = 3.0
FRAGMENTED = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
QUICK_S = 2.0
"""How soon a camera of 25 frames a second is open."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(pattern_clip(size=(320, 180), seconds=4, gop=25, bf=2, audio=True))
    return path


def opened(url: str) -> Connection:
    return pulled(parse_source(url), silent_s=SILENT_S).open()


def some_of(connection: Connection, count: int) -> list[AnyPacket]:
    """The first *count* video packets."""
    index, found = connection.container.streams.video[0].index, list[AnyPacket]()
    for packet in connection.packets():
        if packet.stream_index == index:
            found.append(packet)
        if len(found) == count:
            break
    return found


def failure(url: str) -> SourceError:
    """What it fails with, at opening or at reading."""
    with pytest.raises(SourceError) as failed:
        for _ in opened(url).packets():
            pass
    return failed.value


Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def peer(answer: Answer) -> Iterator[str]:
    """HOST:PORT of a server that does as it is told with each client."""
    ended, threads, clients = threading.Event(), list[threading.Thread](), list[socket.socket]()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while not ended.is_set():
                answer(client)

    def accept() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                clients.append(listener.accept()[0])
                threads.append(threading.Thread(target=serve, args=(clients[-1],)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        accepting.join()
        for client in clients:
            with contextlib.suppress(OSError):  # it is closed
                client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        listener.close()


def says(*pieces: bytes, again: bytes = b"") -> Answer:
    """Answers once; then the same piece for ever, or the end."""
    served_already = weakref.WeakSet[socket.socket]()

    def answer(client: socket.socket) -> None:
        if client not in served_already:
            served_already.add(client)
            client.recv(4096)
            for piece in pieces:
                client.sendall(piece)
        elif not again:
            client.shutdown(socket.SHUT_RDWR)
        else:
            client.sendall(again)

    return answer


def says_nothing(client: socket.socket) -> None:
    if not client.recv(4096):
        raise ConnectionAbortedError


def http(kind: str = "video/mp2t") -> bytes:
    return f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("kind", "options", "content_type"),
    [
        ("mpegts", (), "video/mp2t"),
        ("mp4", FRAGMENTED, "video/mp4"),
    ],
)
def test_http_gives_picture_and_sound(
    kind: str, options: tuple[str, ...], content_type: str, clip: Path, tmp_path: Path
) -> None:
    """MPEG-TS and fragmented MP4 without an end."""
    with served(clip, kind, *options, folder=tmp_path, content_type=content_type) as url:
        connection = eventually("FFmpeg serves", lambda: _opened_if_served(url))
        packets = some_of(connection, 60)
        tracks = SourceTracks(connection.container, "camera")
        connection.close()

    assert tracks.audio_time_base is not None
    assert all(packet.dts is not None for packet in packets)
    assert any(packet.is_keyframe for packet in packets)


def _opened_if_served(url: str) -> Connection | None:
    with contextlib.suppress(SourceError):
        return opened(url)
    return None


def test_the_first_sound_of_mpeg_ts_has_times(tmp_path: Path) -> None:
    """One PES packet holds many frames of sound, and one time; the library leaves the first ones without."""
    film, stream = tmp_path / "film.mp4", tmp_path / "film.ts"
    film.write_bytes(pattern_clip(size=(320, 180), seconds=4, audio=True))
    with ffmpeg("-i", film, "-c", "copy", "-f", "mpegts", stream, folder=tmp_path) as muxing:
        assert muxing.process.wait(20) == 0
    body = stream.read_bytes()

    with peer(says(http(), *(body[at : at + 940] for at in range(0, len(body), 940)))) as address:
        connection = opened(f"http://{address}/")
        index, packets = connection.container.streams.audio[0].index, list[AnyPacket]()
        with pytest.raises(SourceError):
            packets.extend(connection.packets())
        connection.close()

    times = [packet.pts for packet in packets if packet.stream_index == index]
    steps = [(later - earlier) / 90_000 for earlier, later in pairwise(times)]  # type: ignore[operator]  # none is None
    assert steps == pytest.approx([1024 / 48_000] * len(steps), abs=0.001)


def test_mp4_without_an_end_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's index of it would grow for ever; no packet is lost between two pieces."""
    monkeypatch.setattr("segmenter.sources.fragments.FRAGMENTS", 2)
    film, stream = tmp_path / "film.mp4", tmp_path / "stream.mp4"
    film.write_bytes(pattern_clip(size=(320, 180), seconds=9, gop=25, audio=True))
    with ffmpeg("-i", film, "-c", "copy", *FRAGMENTED, stream, folder=tmp_path) as muxing:
        assert muxing.process.wait(20) == 0
    body = stream.read_bytes()

    with peer(says(http("video/mp4"), *(body[at : at + 1400] for at in range(0, len(body), 1400)))) as address:
        connection, packets = opened(f"http://{address}/"), list[AnyPacket]()
        assert isinstance(connection, network.NetworkConnection)
        pieces = connection._input
        with pytest.raises(SourceError, match="ended"):
            packets.extend(connection.packets())
        assert isinstance(pieces, Pieces)
        assert pieces._demuxed._later
        connection.close()

    with av.open(str(stream)) as whole:
        sent = [packet for packet in whole.demux() if packet.size]
    for index in (0, 1):
        came = [(packet.pts, packet.dts, bytes(packet)) for packet in packets if packet.stream_index == index]
        assert came == [(packet.pts, packet.dts, bytes(packet)) for packet in sent if packet.stream_index == index]


def test_a_playlist_is_followed(clip: Path, tmp_path: Path) -> None:
    """HLS: over the edge of its segments, and it is known that it comes in such."""
    with hls(clip, folder=tmp_path) as url:
        connection = opened(url)
        segmented = [getattr(each, "segmented", False) for each in (connection, converted(connection, audio=False))]
        packets = some_of(connection, 130)
        SourceTracks(connection.container, "camera")
        connection.close()

    times = [float(packet.dts * packet.time_base) for packet in packets if packet.dts is not None]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(129 / 25, abs=0.1)
    assert segmented == [True, True]


def test_of_a_playlists_variants_only_the_largest_is_fetched(clip: Path, tmp_path: Path) -> None:
    """Once it is known which that is; a playlist is one by what its server calls it, too."""
    film, fetched = clip.with_suffix(".variant.ts"), list[str]()
    film.write_bytes(pattern_clip(size=(320, 180), seconds=2, container="mpegts"))
    small = pattern_clip(size=(160, 90), seconds=2, container="mpegts")
    variants = b"#EXTM3U\n" + b"".join(b"#EXT-X-STREAM-INF:BANDWIDTH=%d\n/%d.m3u8\n" % (n, n) for n in (1, 2))
    segments = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n" + b"".join(b"#EXTINF:2,\n/%%d-%d.ts\n" % n for n in range(40))

    def answer(client: socket.socket) -> None:
        path = client.recv(4096).decode().split(" ")[1]
        fetched.append(path)
        number = int(path[1]) if path[1:2].isdigit() else 0
        if path.endswith(".ts"):
            client.sendall(http() + (small if number == 1 else film.read_bytes()))
        else:
            body = segments.replace(b"%d", str(number).encode()) + b"#EXT-X-ENDLIST\n" if number else variants
            client.sendall(http("application/vnd.apple.mpegurl") + body)
        client.shutdown(socket.SHUT_RDWR)
        raise ConnectionAbortedError  # no second request on this one

    with peer(answer) as address:
        connection = opened(f"http://{address}/live")
        video = connection.container.streams.video
        with pytest.raises(SourceError):
            some_of(connection, 10_000)
        connection.close()

    assert [(each.width, each.height) for each in video] == [(320, 180)]
    assert "/2-39.ts" in fetched
    assert "/1-39.ts" not in fetched


def test_a_camera_of_jpegs_has_the_time_of_their_arrival(clip: Path, tmp_path: Path) -> None:
    """Nothing in the stream says when a picture was taken, and the library counts 25 a second whatever comes."""
    url = f"http://127.0.0.1:{free_port()}/video"
    arguments = (*LOOPED, "-i", clip, "-an", "-c:v", "mjpeg", "-r", "10", "-f", "mpjpeg", "-listen", "1", url)
    with ffmpeg(*arguments, folder=tmp_path):
        connection = eventually("FFmpeg serves", lambda: _opened_if_served(url))
        began = time.monotonic()
        packets = some_of(connection, 21)
        took_s = time.monotonic() - began
        connection.close()

    first, last = packets[0], packets[-1]
    assert connection.container.streams.video[0].width == 320
    assert first.dts is not None
    assert last.dts is not None
    assert float((last.dts - first.dts) * last.time_base) == pytest.approx(took_s, abs=0.3)
    assert took_s == pytest.approx(2.0, abs=0.7)


def test_rtmp_is_pulled(clip: Path, tmp_path: Path) -> None:
    """FLV within it."""
    url = f"rtmp://127.0.0.1:{free_port()}/live/camera"
    with ffmpeg(*LOOPED, "-i", clip, "-c", "copy", "-f", "flv", "-listen", "1", url, folder=tmp_path):
        connection = eventually("FFmpeg serves", lambda: _opened_if_served(url))
        packets = some_of(connection, 30)
        connection.close()

    assert len(packets) == 30


def test_rtsp_opens_at_once_and_knows_when_b_frames_are_decoded(clip: Path, tmp_path: Path) -> None:
    """RTP carries no decoding times: they are right only if it is known how far frames are reordered."""
    server = RtspServer(rtsp_binary(), tmp_path, {"camera": looped(clip)})
    server.start()
    try:
        opened(server.rtsp("camera")).close()  # the stream begins with its first reader
        began = time.monotonic()
        connection = opened(server.rtsp("camera"))
        took_s = time.monotonic() - began
        packets = some_of(connection, 60)
        connection.close()
        missing = failure(server.rtsp("missing"))
    finally:
        server.stop()

    times = [packet.dts for packet in packets[5:]]
    assert took_s < QUICK_S
    assert None not in times
    assert times == sorted(set(times))  # type: ignore[type-var]  # none of them is None
    assert missing.reason == "not-found"


def test_rtsp_goes_on_over_udp_where_tcp_is_refused(clip: Path, tmp_path: Path) -> None:
    """And is read more often then: a socket of UDP holds little."""
    with rtsp_over_udp(clip, folder=tmp_path) as url:
        connection = opened(url)
        packets = some_of(connection, 30)
        connection.close()

    assert len(packets) == 30
    assert connection.gather_s < 0.05


@pytest.mark.parametrize("scheme", ["rtsps", "https", "rtmps"])
def test_a_certificate_is_checked_unless_the_url_says_otherwise(
    scheme: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the switch; a certificate of the machine's own store is trusted."""
    certificate = make_certificate(tmp_path)
    server = RtspServer(rtsp_binary(), tmp_path / "rtsp", {"camera": looped(clip)})
    server.start()
    ports = {"rtsps": server.ports.rtsp, "rtmps": server.ports.rtmp, "https": server.ports.api}
    path = "api/stream.ts?src=camera" if scheme == "https" else "camera"
    try:
        with tls_before(ports[scheme], certificate) as port:
            url = f"{scheme}://127.0.0.1:{port}/{path}"
            strange = failure(url)
            unchecked = opened(f"{url}{'&' if '?' in url else '?'}tls=insecure")
            unchecked.close()
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
            trusted = opened(url)
            trusted.close()
    finally:
        server.stop()

    assert strange.reason == "unreachable"
    assert "tls=insecure" in strange.detail


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp"])
def test_a_closed_port_is_unreachable(scheme: str) -> None:
    """And said at once."""
    assert failure(f"{scheme}://127.0.0.1:{free_port()}/a/b").reason == "unreachable"


def test_a_name_that_nobody_knows_is_unresolvable() -> None:
    """The library alone would call it an input/output error."""
    assert failure("rtsp://nosuch.invalid/live").reason == "unresolvable"


@pytest.mark.parametrize("protocol", ["HTTP", "RTSP"])
@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "unauthorized"), (404, "not-found"), (503, "unreachable"), (429, "unreachable")],
)
def test_what_a_server_answers_is_the_reason(protocol: str, status: int, reason: str) -> None:
    """The same words for both protocols; the password stands nowhere."""
    with peer(says(f"{protocol}/1.0 {status} No\r\nCSeq: 1\r\nContent-Length: 0\r\n\r\n".encode())) as address:
        found = failure(f"{protocol.lower()}://viewer:s3cret@{address}/live")

    assert found.reason == reason
    assert "s3cret" not in found.detail


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp"])
def test_a_server_that_says_nothing_is_silent(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded, whichever protocol waits for its first word."""
    monkeypatch.setattr(network, "OPEN_S", 1.0)
    with peer(says_nothing) as address:
        began = time.monotonic()
        found = failure(f"{scheme}://{address}/a/b")

    assert found.reason == "silent"
    assert time.monotonic() - began < 3


def test_a_stream_that_falls_silent_is_noticed(clip: Path) -> None:
    """After the time of the setting, though the connection stands."""
    film = pattern_clip(seconds=2, container="mpegts")
    with peer(_and_then_nothing(http() + film)) as address:
        began = time.monotonic()
        found = failure(f"http://{address}/")

    assert found.reason == "silent"
    assert SILENT_S <= time.monotonic() - began < 2 * SILENT_S


def test_a_camera_that_hangs_is_noticed_once_its_time_is_out(clip: Path, tmp_path: Path) -> None:
    """Not twice that: the library gives a packet it held when its time is out, and begins to wait anew."""
    server = RtspServer(rtsp_binary(), tmp_path, {"camera": looped(clip)})
    server.start()
    pid = server._process.pid  # type: ignore[union-attr]  # it was started
    try:
        connection = opened(server.rtsp("camera"))
        some_of(connection, 50)
        freeze(pid)
        hung = time.monotonic()
        with pytest.raises(SourceError) as failed:
            some_of(connection, 10_000)
        took_s = time.monotonic() - hung
        connection.close()
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()

    assert failed.value.reason == "silent"
    assert SILENT_S - 0.5 <= took_s < 2 * SILENT_S - 0.5


def _and_then_nothing(piece: bytes) -> Answer:
    said = weakref.WeakSet[socket.socket]()

    def answer(client: socket.socket) -> None:
        says_nothing(client)
        if client not in said:
            said.add(client)
            client.sendall(piece)

    return answer


ENDLESS_HEADER = b"X-Header: " + b"a" * 100 + b"\r\n"
HUGE_MOOV = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\x7f\xff\xff\xffmoov\x7f\xff\xff\xf0udta"
HUGE_TABLE = b"".join(struct.pack(">I4s", 0x7FFFFFFF, kind) for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"))
HUGE_TABLE += struct.pack(">I4sIII", 0x7FFFFFFF, b"stsz", 0, 0, 0x10000000)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n%s\n#EXT-X-ENDLIST\n"
HUGE_JPEG = bytes.fromhex("ffd8ffc00011083e803e8003012200021101031101") + bytes(3000) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (says(http() + bytes(range(256)) * 500), {"garbage"}),
        (says(http(), again=bytes(65_536)), {"garbage"}),
        (says(b"HTTP/1.0 200 OK\r\n", again=ENDLESS_HEADER * 100), {"silent"}),
        (says(b"HTTP/1.0 200 OK\r\nX-Header: ", again=b"a" * 65_536), {"silent"}),
        (says(http("video/mp4") + HUGE_MOOV, again=bytes(65_536)), {"garbage", "silent"}),
        (says(http("video/mp4") + HUGE_MOOV[:24] + HUGE_TABLE, again=b"\1" * 65_536), {"garbage", "too-large"}),
        (says(http("application/vnd.apple.mpegurl") + PLAYLIST % b"file:///etc/passwd"), {"garbage"}),
        (says(http("application/vnd.apple.mpegurl") + PLAYLIST % b"/etc/passwd"), {"garbage"}),
        (says(b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"), {"unsupported"}),
        (says(http("multipart/x-mixed-replace") + b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + HUGE_JPEG), {"garbage"}),
    ],
    ids=[
        "no video",
        "zeros for ever",
        "headers for ever",
        "a header for ever",
        "a huge moov",
        "a huge table",
        "a playlist of our files",
        "a playlist of a path",
        "a redirection to our files",
        "a huge JPEG",
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(
    answer: Answer, reasons: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bounded time."""
    monkeypatch.setattr(network, "OPEN_S", 1.5)
    with peer(answer) as address:
        began = time.monotonic()
        found = failure(f"http://{address}/live")

    assert found.reason in reasons, found
    assert time.monotonic() - began < 5


def test_a_playlist_does_not_reach_a_film_of_ours(clip: Path) -> None:
    """Nor would it if what it names were video."""
    film = clip.with_suffix(".ts")
    film.write_bytes(pattern_clip(seconds=2, container="mpegts"))
    playlist = PLAYLIST % f"file://{film}".encode()
    with peer(says(http("application/vnd.apple.mpegurl") + playlist)) as address:
        found = failure(f"http://{address}/live.m3u8")

    assert found.reason == "garbage"


def test_too_many_streams_are_refused() -> None:
    """A camera has two."""
    with peer(says(http() + _many_streams())) as address:
        found = failure(f"http://{address}/")

    assert found.reason == "too-large"
    assert "at most 8 streams" in found.detail


def _many_streams() -> bytes:
    import io

    source, out = io.BytesIO(pattern_clip(size=(64, 64), seconds=1)), io.BytesIO()
    with av.open(source, "r") as film, av.open(out, "w", format="mpegts") as output:
        streams = [output.add_stream_from_template(film.streams.video[0]) for _ in range(100)]
        for packet in film.demux(video=0):
            for stream in streams if packet.size else []:
                copied: Any = av.Packet(bytes(packet))
                copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
                copied.is_keyframe, copied.stream = packet.is_keyframe, stream
                output.mux(copied)
    return out.getvalue()


def test_a_picture_of_16k_is_refused_undecoded() -> None:
    """One frame of it takes 400 MB."""
    film = pattern_clip(size=(16_384, 64), seconds=0.2, container="mpegts")
    with peer(says(http() + film)) as address:
        found = failure(f"http://{address}/")

    assert found.reason == "too-large"
    assert "16384x64" in found.detail
