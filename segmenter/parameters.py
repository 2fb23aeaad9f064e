"""Parameter sets of H.264 and H.265: whether a keyframe brings others than the init segment has; pure."""

from collections.abc import Iterator
from typing import Final

HEAD: Final = 8192
"""Bytes of a keyframe that are searched: parameter sets stand before its first slice."""
_START: Final = b"\0\0\1"


class Parameters:
    """The parameter sets of a track, from its extradata: Annex B, or the record of an mp4 or FLV."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._hevc = codec == "hevc"
        self.length_size: int | None = None
        """Bytes of the length before each NAL unit; None where start codes part them."""
        if extradata[:1] == b"\1":
            self.length_size = (extradata[21 if self._hevc else 4] & 3) + 1
            units = _hvcc(extradata) if self._hevc else _avcc(extradata)
        else:
            units = _annex_b(extradata)
        self.sets = frozenset(unit for unit in units if self._is_set(unit))

    def within(self, keyframe: bytes) -> frozenset[bytes]:
        """The parameter sets ahead of the keyframe's first slice."""
        found = set()
        for unit in _annex_b(keyframe) if self.length_size is None else _sized(keyframe, self.length_size):
            if self._is_slice(unit):
                break
            if self._is_set(unit):
                found.add(unit)
        return frozenset(found)

    def annex_b(self, keyframe: bytes) -> bytes:
        """The keyframe after these sets, as a raw stream has it."""
        units = _annex_b(keyframe) if self.length_size is None else _sized(keyframe, self.length_size)
        return b"".join(b"\0" + _START + unit for unit in (*sorted(self.sets, key=self._kind), *units))

    def _kind(self, unit: bytes) -> int:
        return unit[0] >> 1 & 0x3F if self._hevc else unit[0] & 0x1F

    def _is_set(self, unit: bytes) -> bool:
        return bool(unit) and self._kind(unit) in ((32, 33, 34) if self._hevc else (7, 8))

    def _is_slice(self, unit: bytes) -> bool:
        return bool(unit) and (self._kind(unit) < 32 if self._hevc else 1 <= self._kind(unit) <= 5)


def _annex_b(data: bytes) -> Iterator[bytes]:
    at = data.find(_START)
    while at >= 0:
        following = data.find(_START, at + 3)
        # A unit ends with a 1 bit, so zeros before the next start code are none of its own.
        yield data[at + 3 : len(data) if following < 0 else following].rstrip(b"\0")
        at = following


def _sized(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(data):
        size = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        yield data[at : at + size].rstrip(b"\0")
        at += size


def _avcc(record: bytes) -> Iterator[bytes]:
    """ISO/IEC 14496-15, 5.3.3.1."""
    at = 5
    for mask in (0x1F, 0xFF):
        count = record[at] & mask if at < len(record) else 0
        at += 1
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            yield record[at + 2 : at + 2 + size].rstrip(b"\0")
            at += 2 + size


def _hvcc(record: bytes) -> Iterator[bytes]:
    """ISO/IEC 14496-15, 8.3.3.1."""
    at = 23
    for _ in range(record[22] if len(record) > 22 else 0):
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(record[at : at + 2], "big")
            yield record[at + 2 : at + 2 + size].rstrip(b"\0")
            at += 2 + size
