"""FFmpeg sends datagrams, as docs/ingest.md says, and every picture arrives."""

import socket
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import pytest

from segmenter.pattern import pattern_clip
from segmenter.source import SourceError
from segmenter.sources.datagrams import DatagramSource, datagrams
from sluice.address import parse_source
from tests.integration.pushes import PATIENCE_S, received, sending, sent

H264: Final = ("-an", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb,dump_extra", "-f", "rtp")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(pattern_clip(size=(320, 180), seconds=3, gop=25, audio=True))
    return path


@pytest.fixture
def sources() -> Iterator[list[DatagramSource]]:
    made: list[DatagramSource] = []
    yield made
    for each in made:
        each.interrupt()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def source_at(scheme: str, port: int, sources: list[DatagramSource]) -> DatagramSource:
    sources.append(datagrams(parse_source(f"{scheme}://127.0.0.1:{port}?allow=127.0.0.1/32"), silent_s=2.0))
    sources[-1].port.bind()
    return sources[-1]


@pytest.mark.parametrize(
    ("scheme", "arguments", "tail"),
    [
        ("udp", ("-c", "copy", "-f", "mpegts"), 0),
        ("rtp", ("-c", "copy", "-f", "rtp_mpegts"), 5),  # FFmpeg 5.1 keeps the last packets of RTP to itself
        ("rtp", H264, 0),
    ],
    ids=["udp", "rtp-ts", "rtp-h264"],
)
def test_every_picture_arrives(
    clip: Path, sources: list[DatagramSource], scheme: str, arguments: tuple[str, ...], tail: int
) -> None:
    """In order, and the end is that nothing comes any longer."""
    port = free_port()
    source = source_at(scheme, port, sources)
    packing = "?pkt_size=1316" if scheme == "udp" else ""
    with sending(clip, *arguments, f"{scheme}://127.0.0.1:{port}{packing}"):
        connection = source.open()
        came, reason = received(connection)
        connection.close()

    whole = sent(clip)
    assert came == whole[: len(came)]
    assert len(came) >= len(whole) - tail
    assert (reason, source.lost, source.port.refused) == ("silent", 0, 0)


def test_pictures_of_rtp_are_decoded_when_their_encoder_said(clip: Path, sources: list[DatagramSource]) -> None:
    """RTP says only when they are shown; with a pyramid of B-frames the other has to be found out."""
    port = free_port()
    source = source_at("rtp", port, sources)
    with sending(clip, *H264, f"rtp://127.0.0.1:{port}"):
        connection = source.open()
        times: list[tuple[int, int]] = []
        with pytest.raises(SourceError, match="silent"):
            times.extend((packet.dts or 0, packet.pts or 0) for packet in connection.packets())
        connection.close()

    with av.open(str(clip)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
        ticks = 90_000 * (film.streams.video[0].time_base or 0)
    said = [(ticks * (packet.dts or 0), ticks * (packet.pts or 0)) for packet in packets]
    assert since_the_first(times) == since_the_first(said)


def since_the_first(times: Sequence[tuple[Fraction | int, Fraction | int]]) -> list[tuple[Fraction, Fraction]]:
    zero = Fraction(times[0][0])
    return [(dts - zero, pts - zero) for dts, pts in times]


def test_a_network_that_swaps_and_copies_packets_costs_no_picture(clip: Path, sources: list[DatagramSource]) -> None:
    """RTP counts its packets for that."""
    port = free_port()
    source = source_at("rtp", port, sources)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as network:
        network.bind(("127.0.0.1", 0))
        network.settimeout(PATIENCE_S)
        forwarding = threading.Thread(target=_swap, args=(network, ("127.0.0.1", port)))
        with sending(clip, *H264, f"rtp://127.0.0.1:{network.getsockname()[1]}"):
            forwarding.start()
            connection = source.open()
            came, _ = received(connection)
            connection.close()
        forwarding.join(PATIENCE_S)

    assert came == sent(clip)
    assert source.lost == 0


def _swap(network: socket.socket, target: tuple[str, int]) -> None:
    """Each pair the other way round, the first packet and the last aside; some twice."""
    held: bytes | None = None
    first = True
    try:
        while True:
            data = network.recv(2048)
            network.settimeout(1.0)  # from the first packet on, however long ffmpeg took for that
            if first or held is not None:
                network.sendto(data, target)
                network.sendto(held or data, target)
                held, first = None, False
            else:
                held = data
    except TimeoutError:
        network.sendto(held or b"", target)


def test_a_camera_that_begins_again_is_heard_again(clip: Path, sources: list[DatagramSource]) -> None:
    """From another port, with another SSRC, without waiting for anything."""
    port = free_port()
    source = source_at("rtp", port, sources)
    with sending(clip, *H264, f"rtp://127.0.0.1:{port}"):
        connection = source.open()
        first, reason = received(connection)
        connection.close()
    with sending(clip, *H264, f"rtp://127.0.0.1:{port}"):
        connection = source.open()
        second, _ = received(connection)
        connection.close()

    assert reason == "silent"
    assert first == second == sent(clip)


def test_a_camera_that_waits_for_datagrams_can_be_interrupted(sources: list[DatagramSource]) -> None:
    """At once, with its port given back."""
    source = source_at("udp", free_port(), sources)
    source.port._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(16))  # type: ignore[union-attr]  # bound
    ended = threading.Event()

    def open_it() -> None:
        with pytest.raises(SourceError, match="stopped"):
            source.open()
        ended.set()

    thread = threading.Thread(target=open_it)
    thread.start()
    source.interrupt()

    assert ended.wait(PATIENCE_S)
    thread.join(PATIENCE_S)
