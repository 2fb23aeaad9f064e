"""What the tests of pushed cameras share: FFmpeg as the camera, and what it sends, picture by picture."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import av
import pytest

from segmenter.source import Connection, SourceError

PATIENCE_S: Final = 20.0
_START: Final = re.compile(b"\x00\x00\x01")
_SLICES: Final = (1, 5)


@contextlib.contextmanager
def sending(clip: Path, *arguments: str, loop: bool = False) -> "Iterator[subprocess.Popen[str]]":
    """FFmpeg, which sends *clip* at the speed of its time."""
    again = ("-stream_loop", "-1") if loop else ()
    with running(["ffmpeg", "-hide_banner", "-loglevel", "warning", "-re", *again, "-i", str(clip), *arguments]) as it:
        yield it


@contextlib.contextmanager
def running(command: list[str]) -> "Iterator[subprocess.Popen[str]]":
    """A program of this machine, until it ends or is not needed any longer."""
    if shutil.which(command[0]) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no {command[0]} on this machine")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def sent(clip: Path) -> list[str]:
    """A name for each picture of *clip*."""
    with av.open(str(clip)) as container:
        return pictures(container, container.demux(video=0))


def received(connection: Connection) -> tuple[list[str], str | None]:
    """A name for each picture that comes, until it ends; and why that was not in order."""
    came: list[str] = []
    decoded = -(1 << 62)
    try:
        for packet in connection.packets():
            if packet.stream.type == "video":
                assert packet.dts is not None
                assert packet.pts is not None
                assert decoded < packet.dts <= packet.pts
                decoded = packet.dts
                came += pictures(connection.container, [packet])
    except SourceError as error:
        return came, error.reason
    return came, None


def pictures(container: Any, packets: Any) -> list[str]:
    """By the slices alone: each way to send them has its own lengths, delimiters and repeated parameter sets."""
    lengths = (container.streams.video[0].codec_context.extradata or b"")[:1] == b"\x01"
    names = []
    for packet in packets:
        if packet.size:
            slices = [unit.rstrip(b"\0") for unit in _units(bytes(packet), lengths=lengths) if unit[0] & 31 in _SLICES]
            names.append(hashlib.sha256(b"|".join(slices)).hexdigest()[:12])
    return names


def _units(data: bytes, *, lengths: bool) -> Iterator[bytes]:
    if not lengths:
        yield from (unit for unit in _START.split(data)[1:] if unit)
        return
    at = 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def until(met: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
        time.sleep(0.01)
