"""A source that keeps time: one process serves a looped clip over HTTP, and knows when it sent each frame.

`python -m tests.services.paced --clip CLIP --port PORT`: `GET /live/<anything>` is a camera of its own, shifted
against the others; `GET /connections` says when each began and with which frame.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sluice.local import program
from sluice.local.program import Program
from tests.services.looped import FPS, LOOP_FRAMES, Looped, looped


@dataclass
class _Server:
    stream: Looped
    connections: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            if path == "/connections":
                body = json.dumps(self.connections).encode()
                writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)
            else:
                await self._stream(path, writer)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def _stream(self, path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.0 200 OK\r\nContent-Type: {self.stream.content_type}\r\n\r\n".encode() + self.stream.head)
        # The first at a keyframe, each other at a place of its own: cameras know nothing of one another.
        number = len(self.connections) * 82 % LOOP_FRAMES
        began, wall = time.monotonic(), time.time()
        self.connections.append({"path": path, "began": wall, "frame": number})
        for sent in range(sys.maxsize):
            due = began + sent / FPS - time.monotonic()
            if due > 0:
                await asyncio.sleep(due)
            writer.write(self.stream.frame(number + sent))
            await writer.drain()


@dataclass
class PacedSource:
    """The running server."""

    port: int
    pid: int

    def url(self, camera: str) -> str:
        """A camera of its own."""
        return f"http://127.0.0.1:{self.port}/live/{camera}"

    def connections(self, camera: str) -> list[tuple[float, int]]:
        """Of each connection, when its first frame was sent, in Unix seconds, and which it was."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/connections", timeout=5) as answer:
            found = cast("list[dict[str, Any]]", json.load(answer))
        return [(each["began"], each["frame"]) for each in found if each["path"] == f"/live/{camera}"]


@contextlib.contextmanager
def paced_source(clip: Path, *, log: Path) -> Iterator[PacedSource]:
    """A server of its own process."""
    port = program.free_port()
    command = (sys.executable, "-m", "tests.services.paced", "--clip", str(clip), "--port", str(port))
    root = Path(__file__).parent.parent.parent
    server = Program(
        name="paced", command=command, log=log, ready=lambda: program.accepts_connections(port), directory=root
    )
    process = program.start(server)
    try:
        program.wait_ready(server, process)
        yield PacedSource(port=port, pid=process.pid)
    finally:
        program.stop(process)


async def _main(stream: Looped, port: int) -> None:
    server = _Server(stream)
    async with await asyncio.start_server(server.serve, "127.0.0.1", port, limit=1 << 16) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(_main(looped(options.clip), options.port))
