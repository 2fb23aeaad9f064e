"""A clip that goes round as a live stream, its times going on; and the clip itself."""

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FPS = 25
LOOP_FRAMES = 600
"""24 s, a whole number of AAC frames as well, so the loop has no seam."""
_PACKET = 188
_TICKS = 90_000
_SOUNDS = 1125
_SOUND_TICKS = 1920
_PICTURE, _SCRIPT = 9, 18


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
    kind, told = ("flv", {}) if path.suffix == ".flv" else ("mpegts", {"pes_payload_size": "0"})
    with av.open(raw, "r") as source, av.open(path, "w", kind, options=told) as output:
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

    content_type = "video/mp2t"

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


class LoopedFlv:
    """Tags (Adobe's FLV, annex E.4.1); a picture is whole once it has come, whatever follows."""

    content_type = "video/x-flv"

    def __init__(self, clip: bytes) -> None:
        tags, at = list[bytes](), 13
        while at < len(clip):
            end = at + 15 + int.from_bytes(clip[at + 1 : at + 4], "big")
            tags.append(clip[at:end])
            at = end
        # Script data, and what a decoder must know of each track, stand before all else.
        heads = [
            tag for tag in tags if tag[0] == _SCRIPT or (tag[12] == 0 and (tag[0] == _PICTURE or tag[11] >> 4 == 10))
        ]
        self.head = clip[:13] + b"".join(heads)
        self._slots: list[list[bytes]] = []
        for tag in tags:
            # Byte 12 is 1 in a tag of AVC with pictures, 2 in the one that ends the sequence.
            if tag in heads or (tag[0] == _PICTURE and tag[12] != 1):
                continue
            if tag[0] == _PICTURE or not self._slots:
                self._slots.append([])
            self._slots[-1].append(tag)
        assert len(self._slots) == LOOP_FRAMES, f"{len(self._slots)} pictures, expected {LOOP_FRAMES}"

    def frame(self, number: int) -> bytes:
        """As LoopedTs."""
        loop, at = divmod(number, LOOP_FRAMES)
        return b"".join(_later(tag, loop * LOOP_FRAMES * 1000 // FPS) for tag in self._slots[at])


def _later(tag: bytes, ms: int) -> bytes:
    time = int.from_bytes(tag[7:8] + tag[4:7], "big") + ms
    return tag[:4] + (time & 0xFFFFFF).to_bytes(3, "big") + bytes((time >> 24 & 0xFF,)) + tag[8:]


class Looped(Protocol):
    """A stream by its pictures."""

    content_type: str
    head: bytes
    """What each client gets first."""

    def frame(self, number: int) -> bytes:
        """What is sent with picture *number*, counted from the start of the loop's first round."""
        ...


def looped(clip: Path) -> Looped:
    """By the clip's name."""
    return LoopedFlv(clip.read_bytes()) if clip.suffix == ".flv" else LoopedTs(clip.read_bytes())
