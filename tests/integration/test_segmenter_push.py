"""The commands of docs/ingest.md against the running process: what a camera sends is what is stored, to its end."""

import contextlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from sluice.contracts.camera import Camera
from sluice.local.program import free_port
from tests.chunks import StoredSession, checked_sessions
from tests.payloads import Payloads, assert_gapless_part_of, payloads_of
from tests.services.ffmpeg import Peer, ffmpeg, listens
from tests.services.line import eventually
from tests.services.looped import make_clip
from tests.services.segmenter import PUSH_KEY, SegmenterProcess, pulled, pushing, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

TEXT: Final = (Path(__file__).parent.parent.parent / "docs" / "ingest.md").read_text("utf-8")
COMMANDS: Final = re.findall(r"^```sh\n(ffmpeg .*?)\n```$", TEXT, re.MULTILINE | re.DOTALL)
SECONDS = 9.6
ENDS_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One command of the document, with a camera of its own."""

    camera: str
    command: str
    port: int = field(default_factory=free_port)

    @property
    def scheme(self) -> str:
        """Of the URL that it sends to."""
        found = re.findall(r"\b(http|rtmp|udp|rtp)://HOST", self.command)
        assert len(found) == 1, self.command
        return str(found[0])

    @property
    def is_pushed(self) -> bool:
        """With a key."""
        return self.scheme in ("http", "rtmp")

    @property
    def most_missed(self) -> int:
        """Pictures that may be missing at both ends together."""
        # Nobody says that a datagram was the last, and MPEG-TS has a picture whole when another one follows.
        return 0 if self.is_pushed else 2

    def filled(self, segmenter: SegmenterProcess, clip: Path) -> list[str]:
        """As whoever reads the document fills it in."""
        port = segmenter.port if self.is_pushed else self.port
        values = {"HOST": "127.0.0.1", "PORT": port, "RTMP_PORT": segmenter.rtmp_port, "KEY": PUSH_KEY}
        values |= {"CAMERA": self.camera, "CLIP": clip}
        names = re.compile(rf"\b(?:{'|'.join(values)})\b")
        words = shlex.split(self.command)[1:]
        return [names.sub(lambda found: str(values[found[0]]), word) for word in words]


WAYS: Final = [Way(camera=f"way-{number}", command=command) for number, command in enumerate(COMMANDS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What became of all commands, side by side."""

    segmenter: SegmenterProcess
    sent: Payloads
    codes: dict[str, int]
    said: dict[str, str]

    def session(self, camera: str) -> StoredSession:
        """The camera's only one, checked."""
        sessions = checked_sessions(self.segmenter.store, camera)
        assert len(sessions) == 1
        return sessions[0]


@pytest.fixture(scope="module")
def pushed(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    folder = tmp_path_factory.mktemp("push")
    clip = _clip(folder)
    with segmenter_servers(minio_binary, folder) as servers:
        with segmenter_process(servers, folder / "segmenter") as segmenter, contextlib.ExitStack() as stack:
            segmenter.save(*(_camera(way) for way in WAYS))
            segmenter.until("the cameras are there", lambda said: len(said) == len(WAYS))
            eventually("the cameras' ports are open", _listen)
            peers = {
                way.camera: stack.enter_context(ffmpeg(*way.filled(segmenter, clip), folder=folder)) for way in WAYS
            }
            pushes = [way.camera for way in WAYS if way.is_pushed]
            codes = {camera: peer.process.wait(ENDS_S) for camera, peer in peers.items()}
            segmenter.until("pushes are over", lambda said: all(said[each]["state"] != "online" for each in pushes))
        yield Pushed(segmenter=segmenter, sent=payloads_of(clip), codes=codes, said=_logs(peers))


def _clip(folder: Path) -> Path:
    whole, clip = make_clip(folder / "whole.ts", gop=25), folder / "clip.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(whole), "-t", str(SECONDS), "-c", "copy", str(clip)]
    subprocess.run(command, check=True, timeout=60)
    return clip


def _camera(way: Way) -> Camera:
    source = f"{way.scheme}://127.0.0.1:{way.port}?allow=127.0.0.1"
    return pushing(way.camera) if way.is_pushed else pulled(way.camera, source)


def _listen() -> bool:
    return all(listens("udp", way.port) for way in WAYS if not way.is_pushed)


def _logs(peers: dict[str, Peer]) -> dict[str, str]:
    return {camera: peer.log.read_text() for camera, peer in peers.items()}


@pytest.mark.parametrize("way", WAYS, ids=[way.command.partition("CLIP ")[2] for way in WAYS])
def test_what_is_sent_is_what_is_stored(pushed: Pushed, way: Way) -> None:
    """To the very last packet, where somebody says that it is; none lost, none doubled."""
    session = pushed.session(way.camera)

    assert pushed.codes[way.camera] == 0, pushed.said[way.camera]
    assert len(pushed.sent.video) - len(session.payloads.video) <= way.most_missed
    assert_gapless_part_of(pushed.sent.video, session.payloads.video, what="video")
    if "-an" not in way.command:
        assert_gapless_part_of(pushed.sent.audio, session.payloads.audio, what="audio")


def test_the_document_has_every_way_in() -> None:
    """A command that is not found is not tested."""
    assert [way.scheme for way in WAYS].count("http") >= 3
    assert {way.scheme for way in WAYS} == {"http", "rtmp", "udp", "rtp"}


def test_no_key_is_told(pushed: Pushed) -> None:
    """Neither in the log nor anywhere on the way."""
    assert PUSH_KEY not in pushed.segmenter.log.read_text()
