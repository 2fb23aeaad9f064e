"""A source that keeps time: one process serves a looped clip as MPEG-TS over HTTP, and knows when it sent each frame.

`python -m tests.services.paced --clip CLIP --port PORT`: `GET /live/<anything>` is a camera of its own, shifted
against the others; `GET /connections` says when each began and with which frame.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sluice.local import program
from sluice.local.program import Program

FPS = 25
LOOP_FRAMES = 600
"""24 s, a whole number of AAC frames as well, so the loop has no seam."""
_PACKET = 188
_TICKS = 90_000
_SOUNDS = 1125
_SOUND_TICKS = 1920


def make_clip(path: Path, *, size: str = "320x180", bit_rate: str = "300k", gop: int = 75) -> Path:
    """Noise before a test card, H.264 without B-frames as cameras send it, and AAC; each frame is unlike all others."""
    import av

    raw = path.with_suffix(".raw.ts")
    video = f"testsrc2=size={size}:rate={FPS},noise=alls=12:allf=t,format=yuv420p"
    rate = ["-b:v", bit_rate, "-maxrate", bit_rate, "-bufsize", bit_rate, "-g", str(gop), "-bf", "0", "-sc_threshold"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", video, "-f", "lavfi"]
    command += ["-i", "anoisesrc=sample_rate=48000:seed=7,volume=0.1", "-t", str(LOOP_FRAMES / FPS + 1), "-c:v"]
    command += ["libx264", "-preset", "ultrafast", *rate, "0", "-c:a", "aac", "-b:a", "64k", "-y", str(raw)]
    subprocess.run(command, check=True, timeout=300)
    with av.open(raw, "r") as source, av.open(path, "w", "mpegts", options={"pes_payload_size": "0"}) as output:
        tracks = {each.index: output.add_stream_from_template(each) for each in source.streams}
        counts = dict.fromkeys(tracks, 0)
        for packet in source.demux():
            is_video = packet.stream.type == "video"
            n, limit = counts[packet.stream_index], LOOP_FRAMES if is_video else _SOUNDS
            if not packet.size or n >= limit:
                continue
            counts[packet.stream_index] += 1
            packet.pts = packet.dts = n * (_TICKS // FPS if is_video else _SOUND_TICKS)
            packet.time_base, packet.stream = Fraction(1, _TICKS), tracks[packet.stream_index]
            output.mux(packet)
    raw.unlink()
    return path


@dataclass(slots=True)
class _Slot:
    """What is sent with one picture; positions of times count from its start."""

    data: NDArray[np.uint8]
    a_loop: NDArray[np.uint8]
    """How far each packet's continuity counter moves from loop to loop."""
    stamps: list[int]
    clocks: list[int]


class LoopedTs:
    """A transport stream that goes round with times and counters that go on."""

    def __init__(self, clip: bytes) -> None:
        packets = np.frombuffer(clip, dtype=np.uint8).reshape(-1, _PACKET)
        pids = ((packets[:, 1] & 0x1F).astype(int) << 8) | packets[:, 2]
        starts = (packets[:, 1] & 0x40) != 0
        carries = (packets[:, 3] & 0x10) != 0
        video = next(pid for pid in map(int, pids) if starts[pids == pid].sum() == LOOP_FRAMES)
        counts = {pid: int(carries[pids == pid].sum()) for pid in set(map(int, pids))}
        edges = [0, *np.flatnonzero(starts & (pids == video))[1:].tolist(), len(packets)]
        self.head = packets[(pids == 0) | (pids == 0x1000)][:2].tobytes()
        self._slots = [
            _Slot(
                data=packets[first:last].reshape(-1),
                a_loop=np.array([counts[int(pid)] % 16 for pid in pids[first:last]], dtype=np.uint8),
                **_times(packets[first:last], starts[first:last]),
            )
            for first, last in pairwise(edges)
        ]

    def frame(self, number: int) -> bytes:
        """What is sent with picture *number*, counted from the start of the loop's first round."""
        loop, at = divmod(number, LOOP_FRAMES)
        slot, ticks = self._slots[at], loop * LOOP_FRAMES * _TICKS // FPS
        data = slot.data.copy()
        counters = data[3::_PACKET]
        data[3::_PACKET] = (counters & 0xF0) | ((counters + slot.a_loop * np.uint8(loop % 16)) & 0x0F)
        for stamp in slot.stamps:
            _move_stamp(data, stamp, ticks)
        for clock in slot.clocks:
            _move_clock(data, clock, ticks)
        return data.tobytes()


def _times(packets: NDArray[np.uint8], starts: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Where PES stamps and clock references stand (ISO/IEC 13818-1, 2.4.3)."""
    stamps, clocks = list[int](), list[int]()
    for n, packet in enumerate(packets):
        body = 4
        if packet[3] & 0x20:
            body = 5 + int(packet[4])
            if packet[4] and packet[5] & 0x10:
                clocks.append(n * _PACKET + 6)
        if starts[n] and bytes(packet[body : body + 3]) == b"\0\0\1":
            stamps += [n * _PACKET + body + 9 + 5 * each for each in range((0, 0, 1, 2)[packet[body + 7] >> 6])]
    return {"stamps": stamps, "clocks": clocks}


def _move_stamp(data: NDArray[np.uint8], at: int, ticks: int) -> None:
    a, b, c, d, e = map(int, data[at : at + 5])
    value = (((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1) + ticks) & 0x1_FFFF_FFFF
    parts = (a & 0xF0 | value >> 30 << 1 | 1, value >> 22 & 0xFF, value >> 14 & 0xFE | 1, value >> 7 & 0xFF)
    data[at : at + 5] = (*parts, value << 1 & 0xFE | 1)


def _move_clock(data: NDArray[np.uint8], at: int, ticks: int) -> None:
    value = int.from_bytes(bytes(data[at : at + 6]), "big")
    moved = ((value >> 15) + ticks & 0x1_FFFF_FFFF) << 15 | value & 0x7FFF
    data[at : at + 6] = np.frombuffer(moved.to_bytes(6, "big"), dtype=np.uint8)


@dataclass
class _Server:
    stream: LoopedTs
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
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n" + self.stream.head)
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
        return f"http://127.0.0.1:{self.port}/live/{camera}.ts"

    def connections(self, camera: str) -> list[tuple[float, int]]:
        """Of each connection, when its first frame was sent, in Unix seconds, and which it was."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/connections", timeout=5) as answer:
            found = cast("list[dict[str, Any]]", json.load(answer))
        return [(each["began"], each["frame"]) for each in found if each["path"] == f"/live/{camera}.ts"]


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


async def _main(stream: LoopedTs, port: int) -> None:
    server = _Server(stream)
    async with await asyncio.start_server(server.serve, "127.0.0.1", port, limit=1 << 16) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(_main(LoopedTs(options.clip.read_bytes()), options.port))
