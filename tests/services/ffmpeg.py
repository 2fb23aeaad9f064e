"""FFmpeg as the other side: it sends, or it serves; each is a process that ends with its block."""

import contextlib
import functools
import http.server
import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from sluice.local import program
from sluice.local.program import Program
from tests.services.line import eventually

_numbers = itertools.count(1)
LOOPED = ("-re", "-stream_loop", "-1")
ONCE = ("-re",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running ffmpeg."""

    process: Popen[bytes]
    log: Path

    def kill(self) -> None:
        """As a camera that loses its power."""
        program.kill(self.process)

    def stop(self) -> None:
        """As a camera that is switched off."""
        program.stop(self.process, grace_s=5)


@contextlib.contextmanager
def ffmpeg(*arguments: str | Path, folder: Path) -> Iterator[Peer]:
    """Run it until the end of the block, or its own."""
    log = folder / f"ffmpeg-{next(_numbers)}.log"
    command = ("ffmpeg", "-hide_banner", "-v", "warning", "-nostdin", *map(str, arguments))
    peer = Program(name="ffmpeg", command=command, log=log, ready=lambda: True)
    running = Peer(process=program.start(peer), log=log)
    try:
        yield running
    finally:
        running.kill()


def sender(
    clip: Path, url: str, kind: str, *options: str, folder: Path, pace: tuple[str, ...] = LOOPED
) -> contextlib.AbstractContextManager[Peer]:
    """It sends a file as it is, in the time that it lasts."""
    return ffmpeg(*pace, "-i", clip, "-c", "copy", *options, "-f", kind, url, folder=folder)


class _Again:
    """FFmpeg serves one client, then ends: it is started again for the next."""

    def __init__(self, arguments: tuple[str | Path, ...], folder: Path) -> None:
        self._arguments, self._folder = arguments, folder
        self._ended = threading.Event()
        self._peer: Peer | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            with ffmpeg(*self._arguments, folder=self._folder) as peer:
                while peer.process.poll() is None and not self._ended.wait(0.05):
                    pass


@contextlib.contextmanager
def served(clip: Path, kind: str, *options: str, folder: Path, content_type: str = "video/mp2t") -> Iterator[str]:
    """The URL at which FFmpeg serves a looped file over HTTP."""
    port = program.free_port()
    url = f"http://127.0.0.1:{port}/live"
    http_options = ("-listen", "1", "-content_type", content_type)
    again = _Again((*LOOPED, "-i", clip, "-c", "copy", *options, "-f", kind, *http_options, url), folder)
    again.start()
    try:
        # To ask by connecting would be to be its one client.
        eventually("FFmpeg listens", lambda: listens("tcp", port))
        yield url
    finally:
        again.stop()


def listens(protocol: str, port: int) -> bool:
    """Whether somebody on this machine takes connections, or datagrams."""
    waiting = {"tcp": "0A", "udp": "07"}[protocol]  # proc(5): LISTEN, and what the kernel calls CLOSE
    lines = [line.split() for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]]
    return any(line[1].endswith(f":{port:04X}") and line[3] == waiting for line in lines)


@contextlib.contextmanager
def hls(clip: Path, *, folder: Path) -> Iterator[str]:
    """The URL of a live playlist that FFmpeg writes, of a looped file."""
    site = folder / "hls"
    site.mkdir()
    handler = functools.partial(_QuietFiles, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    options = ("-hls_time", "2", "-hls_list_size", "6", "-hls_flags", "delete_segments")
    try:
        with sender(clip, str(site / "index.m3u8"), "hls", *options, folder=folder):
            eventually("FFmpeg has written a playlist", (site / "index.m3u8").exists)
            yield f"http://127.0.0.1:{server.server_port}/index.m3u8"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *_args: Any) -> None:  # noqa: A002 (the base class names it)
        """Quiet."""
