"""MPEG-TS written packet by packet, so that any time can stand in it: also none, or one that no muxer would write."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from segmenter.pattern import pattern_clip

HZ: Final = 90_000
WRAP: Final = 1 << 33
H264: Final = 0x1B
_PACKET: Final = 188
_PMT, _VIDEO = 0x1000, 0x100


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An access unit, Annex B; times in 90 kHz, from 0 on."""

    data: bytes
    keyframe: bool
    pts: int
    dts: int


@cache
def pictures(
    *, seconds: float, gop: int = 25, bf: int = 0, size: tuple[int, int] = (320, 180), fps: int = 25
) -> tuple[Picture, ...]:
    """Of the test pattern, in decoding order."""
    import io

    import av

    clip = pattern_clip(size=size, fps=fps, gop=gop, bf=bf, seconds=seconds, container="mpegts")
    with av.open(io.BytesIO(clip), "r") as container:
        packets: list[Any] = [each for each in container.demux(video=0) if each.size]
        first = packets[0].dts
        return tuple(
            Picture(data=bytes(each), keyframe=each.is_keyframe, pts=each.pts - first, dts=each.dts - first)
            for each in packets
        )


class TransportStream:
    """One programme with a video track, and as many others that nothing is ever sent of."""

    def __init__(self, *, others: int = 0) -> None:
        self._counters = Counter[int]()
        tracks = b"".join(_track(H264, _VIDEO + at) for at in range(others + 1))
        self._pat = _section(0x00, b"\0\1" + _pid(_PMT))
        self._pmt = _section(0x02, _pid(_VIDEO) + b"\xf0\x00" + tracks)

    def head(self) -> bytes:
        """The tables."""
        return self._told(0, self._pat) + self._told(_PMT, self._pmt)

    def unit(self, picture: Picture, *, pts: int | None, dts: int | None = None) -> bytes:
        """A picture; keyframes have the tables before them."""
        body = _pes(picture.data, pts, dts)
        clock = None if pts is None else (pts if dts is None else dts)
        out = [self.head()] if picture.keyframe else []
        at = 0
        while at < len(body):
            field = _clock(clock, keyframe=picture.keyframe) if not at and clock is not None else b""
            most = _PACKET - 4 - len(field)
            piece = body[at : at + most]
            out.append(self._packet(_VIDEO, piece, field=field, starts=not at))
            at += most
        return b"".join(out)

    def _told(self, pid: int, section: bytes) -> bytes:
        pieces = [(b"\0" + section)[at : at + _PACKET - 4] for at in range(0, len(section) + 1, _PACKET - 4)]
        return b"".join(
            self._packet(pid, each.ljust(_PACKET - 4, b"\xff"), starts=not at) for at, each in enumerate(pieces)
        )

    def _packet(self, pid: int, piece: bytes, *, field: bytes = b"", starts: bool = False) -> bytes:
        short = _PACKET - 4 - len(field) - len(piece)
        if short:
            field = _stuffed(field, short)
        counter, self._counters[pid] = self._counters[pid] & 15, self._counters[pid] + 1
        head = bytes((0x47, (0x40 if starts else 0) | pid >> 8, pid & 0xFF, (0x30 if field else 0x10) | counter))
        return head + field + piece


def _stuffed(field: bytes, more: int) -> bytes:
    if field:
        return bytes((field[0] + more,)) + field[1:] + b"\xff" * more
    return b"\0" if more == 1 else bytes((more - 1, 0)) + b"\xff" * (more - 2)


def _clock(ticks: int, *, keyframe: bool) -> bytes:
    """An adaptation field with a clock reference (ISO/IEC 13818-1, 2.4.3.4)."""
    value = (ticks % WRAP) << 15 | 0x3F << 9
    return bytes((7, 0x10 | (0x40 if keyframe else 0))) + value.to_bytes(6, "big")


def _pes(data: bytes, pts: int | None, dts: int | None) -> bytes:
    stamps = [(2 if dts is None else 3, pts), (1, dts)]
    fields = b"".join(_stamp(mark, ticks) for mark, ticks in stamps if ticks is not None)
    flags = 0x80 if pts is not None and dts is None else 0xC0 if pts is not None else 0
    fields = fields if pts is not None else b""
    return b"\0\0\1\xe0\0\0" + bytes((0x80, flags, len(fields))) + fields + data


def _stamp(mark: int, ticks: int) -> bytes:
    ticks %= WRAP
    parts = (mark << 4 | (ticks >> 30) << 1 | 1, (ticks >> 15 & 0x7FFF) << 1 | 1, (ticks & 0x7FFF) << 1 | 1)
    return parts[0].to_bytes(1, "big") + parts[1].to_bytes(2, "big") + parts[2].to_bytes(2, "big")


def _section(table: int, body: bytes) -> bytes:
    length = len(body) + 9
    head = bytes((table, 0xB0 | length >> 8, length & 0xFF)) + b"\0\1\xc1\0\0" + body
    return head + _crc(head).to_bytes(4, "big")


def _track(kind: int, pid: int) -> bytes:
    return bytes((kind,)) + _pid(pid) + b"\xf0\0"


def _pid(pid: int) -> bytes:
    return (0xE000 | pid).to_bytes(2, "big")


def _crc(data: bytes) -> int:
    value = 0xFFFFFFFF
    for each in data:
        value ^= each << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 1 << 31 else value << 1) & 0xFFFFFFFF
    return value


def joined(*parts: tuple[Picture, ...]) -> Iterator[Picture]:
    """One after the other; only for parts without B-frames is that a steady stream."""
    at = 0
    for part in parts:
        step = part[1].dts - part[0].dts if len(part) > 1 else HZ // 25
        for each in part:
            yield Picture(data=each.data, keyframe=each.keyframe, pts=each.pts + at, dts=each.dts + at)
        at += part[-1].dts + step
