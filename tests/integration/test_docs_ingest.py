"""The commands of docs/ingest.md that push or send are run as they stand there."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from segmenter.sources.datagrams import datagrams
from sluice.address import parse_source
from tests.integration.pushes import PATIENCE_S, received, running, sent
from tests.integration.test_datagram_sources import free_port
from tests.integration.test_push_sources import KEY, Door, clip, door

__all__ = ["clip", "door"]

TEXT: Final = (Path(__file__).parent.parent.parent / "docs" / "ingest.md").read_text("utf-8")
COMMANDS: Final = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)]
PUSHES: Final = [each for each in COMMANDS if each.startswith("ffmpeg") and "KEY" in each]
SENDERS: Final = [each for each in COMMANDS if each.startswith("ffmpeg") and "KEY" not in each]
SOURCES: Final = re.findall(
    r"sluice camera add CAMERA '?((?:udp|rtp|rtsp|rtsps|rtmp|https?|file|v4l2|test):[^'`\s]*)", TEXT
)


def filled(command: str, **values: str) -> list[str]:
    names = re.compile(rf"\b(?:{'|'.join(values)})\b")
    return [names.sub(lambda found: values[found[0]], word) for word in shlex.split(command)]


@pytest.mark.parametrize("command", PUSHES)
def test_a_push_arrives_as_it_is_written(door: Door, clip: Path, command: str) -> None:
    """With nothing filled in but names."""
    values = {"HOST": "127.0.0.1", "PORT": str(door.http.port), "RTMP_PORT": str(door.rtmp.port)}
    with running(filled(command, CAMERA="gate", KEY=KEY, CLIP=str(clip), **values)) as ffmpeg:
        connection = door.source.open()
        came, reason = received(connection)
        connection.close()
        code = ffmpeg.wait(PATIENCE_S)

    assert came == sent(clip)
    assert (reason, code) == (None, 0)


@pytest.mark.parametrize("command", SENDERS)
def test_datagrams_arrive_as_they_are_written(clip: Path, command: str) -> None:
    """With nothing filled in but names."""
    port = free_port()
    scheme = "rtp" if "rtp://" in command else "udp"
    source = datagrams(parse_source(f"{scheme}://127.0.0.1:{port}?allow=127.0.0.1"), silent_s=1.5)
    source.port.bind()
    with running(filled(command, HOST="127.0.0.1", PORT=str(port), CLIP=str(clip))):
        connection = source.open()
        came, _ = received(connection)
        connection.close()
    source.interrupt()

    assert came == sent(clip)[: len(came)]
    assert len(came) >= len(sent(clip)) - 5


def test_an_answer_can_be_seen_as_it_is_written(door: Door, clip: Path) -> None:
    """Of a sender with another key."""
    command = next(each for each in COMMANDS if each.startswith("curl"))
    values = {"HOST": "127.0.0.1", "PORT": str(door.http.port), "CLIP": str(clip)}
    with running(filled(command, CAMERA="gate", KEY="wrong", **values)) as curl:
        said, _ = curl.communicate(timeout=PATIENCE_S)

    assert said.startswith("HTTP/1.1 401 Unauthorized")
    assert "no such camera, or not its key" in said


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_in_the_document_is_one(source: str) -> None:
    """As the segmenter reads it."""
    source = source.replace("PORT", "5000")

    assert parse_source(source).scheme == source.partition(":")[0]


def test_the_document_has_every_way_in() -> None:
    """A command that is not found is not tested."""
    assert len(PUSHES) == 6
    assert len(SENDERS) == 3
    assert {each.partition(":")[0] for each in SOURCES} >= {"rtsp", "rtsps", "rtmp", "http", "https", "file", "v4l2"}
    assert {each.partition(":")[0] for each in SOURCES} >= {"test", "udp", "rtp"}
