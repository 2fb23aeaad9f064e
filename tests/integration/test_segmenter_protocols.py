"""Every protocol that is pulled, through the running process: what is stored is what the source sent, without a gap."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from segmenter.sei import frame_number
from tests.chunks import StoredSession, checked_sessions
from tests.payloads import assert_gapless_part_of, frame_numbers
from tests.services.peers import JPEGS, Clips, pulled_peers
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

CHUNKS = 4
WITHIN_S = 60
COPIED = ("rtsp-tcp", "rtsp-udp", "rtsp-password", "rtsps", "rtmp", "rtmps", "http-ts", "http-fmp4", "http-hls", "file")
OTHERS = ("rtsp-h265", "rtsp-alaw", "http-mjpeg")
NO_DEVICE, PATTERN = "v4l2", "pattern"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of all cameras, side by side in one segmenter."""

    segmenter: SegmenterProcess
    clips: Clips
    said: dict[str, dict[str, Any]]

    def session(self, camera: str) -> StoredSession:
        """The camera's only one, checked."""
        assert self.said[camera]["state"] == "online", self.said[camera]
        sessions = checked_sessions(self.segmenter.store, camera)
        stems = [[chunk.name.stem for chunk in each.chunks] for each in sessions]
        assert len(sessions) == 1, f"an undisturbed source has one session: {stems}, {self.said[camera]}"
        assert len(sessions[0].chunks) >= CHUNKS
        return sessions[0]


@pytest.fixture(scope="module")
def recorded(minio_binary: Path, rtsp_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    folder = tmp_path_factory.mktemp("protocols")
    clips = Clips(folder)
    with segmenter_servers(minio_binary, folder) as servers, pulled_peers(clips, rtsp_program, folder) as peers:
        trusted = {"SSL_CERT_FILE": peers.certificate.certificate}
        with segmenter_process(servers, folder / "segmenter", trusted) as segmenter:
            segmenter.save(
                *(pulled(name, url) for name, url in peers.urls.items()),
                pulled(NO_DEVICE, "v4l2:///dev/video99"),
                pulled(PATTERN, "test://?size=320x180&fps=25&gop=50&bf=2"),
            )
            said = _said_once_recorded(segmenter, [*peers.urls, PATTERN])
        # It has ended, so the last chunk of each is there as well.
        yield Recorded(segmenter=segmenter, clips=clips, said=said)


def _said_once_recorded(segmenter: SegmenterProcess, names: list[str]) -> dict[str, dict[str, Any]]:
    """A camera that does not come is its own test's failure, so all are waited for together and none fails here."""
    deadline = time.monotonic() + WITHIN_S
    missing = list(names)
    while missing and time.monotonic() < deadline:
        missing = [name for name in missing if segmenter.chunks(name) < CHUNKS]
        time.sleep(0.2)
    return segmenter.cameras()


@pytest.mark.parametrize("camera", COPIED)
def test_what_was_sent_is_what_is_stored(recorded: Recorded, camera: str) -> None:
    """Picture and sound, packet for packet between the first and the last, as they came."""
    session = recorded.session(camera)

    source = recorded.clips.payloads(recorded.clips.mp4)
    assert recorded.said[camera]["transcoding"] is None
    assert_gapless_part_of(source.video, session.payloads.video, looped=True, what=f"{camera}: video")
    assert_gapless_part_of(source.audio, session.payloads.audio, looped=True, what=f"{camera}: audio")


def test_h265_is_passed_through(recorded: Recorded) -> None:
    """As hvc1, packet for packet."""
    session = recorded.session("rtsp-h265")

    source = recorded.clips.payloads(recorded.clips.h265)
    assert session.chunks[0].metadata["codec"].startswith("hvc1.")
    assert_gapless_part_of(source.video, session.payloads.video, looped=True, what="video")


def test_sound_of_another_codec_costs_no_picture(recorded: Recorded) -> None:
    """G.711 becomes AAC, or is named as dropped; the picture is whole either way."""
    session = recorded.session("rtsp-alaw")

    source = recorded.clips.payloads(recorded.clips.mp4)
    said = session.chunks[0].metadata
    assert_gapless_part_of(source.video, session.payloads.video, looped=True, what="video")
    assert "mp4a.40.2" in said["codec"]
    assert session.payloads.audio


def test_jpegs_become_h264(recorded: Recorded) -> None:
    """Frame after frame, and health says that it costs."""
    session = recorded.session("http-mjpeg")

    numbers = [number for chunk in session.chunks for number in frame_numbers(chunk.body)]
    assert recorded.said["http-mjpeg"]["transcoding"] == "mjpeg -> h264"
    assert all(after == (before + 1) % JPEGS for before, after in pairwise(numbers)), numbers


def test_the_test_pattern_counts_its_frames(recorded: Recorded) -> None:
    """In user data of each packet, without a gap from chunk to chunk."""
    session = recorded.session(PATTERN)

    numbers = list[int]()
    for chunk in session.chunks[:-1]:  # where the last was cut, pictures shown earlier were still to come
        numbers += sorted(_numbers(chunk.body))
    assert all(after == before + 1 for before, after in pairwise(numbers)), numbers


def test_a_device_that_is_not_there_is_named(recorded: Recorded) -> None:
    """The others go on without it."""
    said = recorded.said[NO_DEVICE]

    assert said["state"] == "offline"
    assert said["reason"] == "no-device"
    assert "/dev/video99" in said["detail"]
    assert recorded.segmenter.chunks(NO_DEVICE) == 0


def test_no_password_is_told(recorded: Recorded) -> None:
    """Neither in the log nor by /cameras."""
    told = recorded.segmenter.log.read_text() + str(recorded.said)

    assert "word/with" not in told
    assert "word%2Fwith" not in told


def _numbers(body: bytes) -> Iterator[int]:
    import io

    with av.open(io.BytesIO(body), "r") as container:
        for packet in container.demux(video=0):
            if packet.size:
                number = frame_number(bytes(packet))
                assert number is not None, "a packet without a number"
                yield number
