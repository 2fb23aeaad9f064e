"""How far H.264 and H.265 reorder pictures, and how long one lasts, as their parameter sets say it; pure."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

DEPTH_MOST: Final = 16
_SET_MOST: Final = 1024
"""Bytes of a parameter set that are read; a real one has less than a hundred."""
_FASTEST, _SLOWEST = Fraction(1, 240), Fraction(1)
_BASELINE: Final = 66
_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_INTRA: Final = frozenset({44, 86, 100, 110, 122, 244})
_BY_PICTURE: Final = 2
"""pic_order_cnt_type: pictures are shown as they are decoded."""
_EXTENDED_SAR: Final = 255
_PLANES: Final = 3
_LONGEST_CODE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordering:
    """None: they do not say."""

    depth: int | None = None
    """How many pictures may be decoded before one and shown after it."""
    picture_s: Fraction | None = None


UNTOLD: Final = Reordering()


def reordering(codec: str, sets: "frozenset[bytes]") -> Reordering:
    """What the parameter sets of *codec* say, h264 or hevc; UNTOLD where they cannot be read."""
    kind, mask, shift, read = (33, 0x3F, 1, _of_hevc) if codec == "hevc" else (7, 0x1F, 0, _of_h264)
    for unit in sets:
        if unit and unit[0] >> shift & mask == kind:
            return _read(unit, read)
    return UNTOLD


def _read(unit: bytes, read: "Callable[[_Bits], Reordering]") -> Reordering:
    try:
        found = read(_Bits(unit[:_SET_MOST].replace(b"\0\0\3", b"\0\0")))
    except EOFError:
        return UNTOLD
    return found if found.depth is None or found.depth <= DEPTH_MOST else UNTOLD


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """u(count)."""
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & ((1 << count) - 1)

    def number(self) -> int:
        """ue(v); for se(v) as well, where the value does not matter."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > _LONGEST_CODE:
                raise EOFError
        return (1 << zeros) - 1 + self.take(zeros)

    def numbers(self, count: int) -> None:
        """Pass over so many."""
        for _ in range(count):
            self.number()


def _of_h264(bits: _Bits) -> Reordering:
    """ITU-T H.264, 7.3.2.1.1 and E.1.1."""
    bits.take(8)
    profile, constraints = bits.take(8), bits.take(8)
    bits.take(8)
    bits.number()
    if profile in _CHROMA:
        _pass_chroma(bits)
    bits.number()
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1)
        bits.numbers(2)
        bits.numbers(bits.number())
    bits.number()
    bits.take(1)
    bits.numbers(2)
    if not bits.take(1):
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        bits.numbers(4)
    in_order = order == _BY_PICTURE or profile == _BASELINE or (profile in _INTRA and bool(constraints & 0x10))
    depth = 0 if in_order else None
    return _of_vui(bits, depth) if bits.take(1) else Reordering(depth=depth)


def _pass_chroma(bits: _Bits) -> None:
    chroma = bits.number()
    if chroma == _PLANES:
        bits.take(1)
    bits.numbers(2)
    bits.take(1)
    if bits.take(1):
        for each in range(12 if chroma == _PLANES else 8):
            if bits.take(1):
                _pass_scaling(bits, 16 if each < 6 else 64)


def _pass_scaling(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.number()
            following = (last + (code + 1 >> 1 if code & 1 else -(code >> 1))) % 256
        last = following or last


def _of_vui(bits: _Bits, depth: int | None) -> Reordering:
    if bits.take(1) and bits.take(8) == _EXTENDED_SAR:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):
        bits.numbers(2)
    picture_s = None
    if bits.take(1):
        units, scale = bits.take(32), bits.take(32)
        bits.take(1)
        told = Fraction(2 * units, scale) if scale else Fraction(0)  # a tick is a field
        picture_s = told if _FASTEST <= told <= _SLOWEST else None
    rated = _passes_rates(bits)
    if _passes_rates(bits) or rated:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        bits.take(1)
        bits.numbers(4)
        depth = bits.number() if depth is None else depth
    return Reordering(depth=depth, picture_s=picture_s)


def _passes_rates(bits: _Bits) -> bool:
    if not bits.take(1):
        return False
    count = bits.number() + 1
    bits.take(8)
    for _ in range(count):
        bits.numbers(2)
        bits.take(1)
    bits.take(20)
    return True


def _of_hevc(bits: _Bits) -> Reordering:
    """ITU-T H.265, 7.3.2.2.1 and 7.3.3."""
    bits.take(20)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    told = [(bits.take(1), bits.take(1)) for _ in range(8 if layers else 0)]
    for profile, level in told[:layers]:
        bits.take(88 * profile + 8 * level)
    bits.number()
    if bits.number() == _PLANES:
        bits.take(1)
    bits.numbers(2)
    if bits.take(1):
        bits.numbers(4)
    bits.numbers(3)
    depth = 0
    for _ in range(layers + 1 if bits.take(1) else 1):
        bits.number()
        depth = bits.number()
        bits.number()
    return Reordering(depth=depth)
