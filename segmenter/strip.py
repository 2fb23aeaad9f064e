"""Numbers that a picture shows, for programs to read: a strip of light and dark blocks along its lower edge.

Two layouts. *Number alone*: one row of 16 blocks, the number modulo 65536, highest bit left. *Number and clock*: three
rows of 32 blocks with 32 bits of number, 48 bits of Unix milliseconds and a check of 16 bits. In the first all three
rows are the same and every bit is there twice, which is how they are told apart.
"""

import binascii
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from sluice.errors import UnusableInputError

STRIP: Final = 24 / 360
"""Height of the strip as a fraction of the picture's."""
STRIP_BITS: Final = 16
CLOCK_SIZE: Final = (320, 180)
"""Smallest picture whose blocks with the clock survive an encoder."""
_COLUMNS: Final = 32
_ROWS: Final = 3
_LIGHT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """What the strip of one picture says."""

    number: int
    utc_ms: int | None = None
    """When it was drawn, Unix milliseconds; None where the strip has no clock."""


def draw_strip(image: NDArray[np.uint8], strip: Strip) -> None:
    """Draw over the lower edge of *image*, RGB or grey."""
    height, width = image.shape[:2]
    top = height - round(STRIP * height)
    if strip.utc_ms is None:
        bits = _bits(strip.number & 0xFFFF, STRIP_BITS)[None, :]
    else:
        body = (strip.number & 0xFFFF_FFFF).to_bytes(4, "big") + strip.utc_ms.to_bytes(6, "big")
        whole = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
        bits = _bits(int.from_bytes(whole, "big"), _ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS)
    rows = (np.arange(height - top) * len(bits)) // max(1, height - top)
    edges = np.array([bit * width // bits.shape[1] for bit in range(bits.shape[1] + 1)])
    columns = np.searchsorted(edges, np.arange(width), side="right") - 1
    blocks = np.where(bits[rows[:, None], columns[None, :]], _LIGHT, 0).astype(np.uint8)
    image[top:] = blocks if image.ndim == 2 else blocks[:, :, None]


def read_strip(image: NDArray[np.uint8]) -> Strip:
    """Read *image*, RGB or grey, also after lossy coding; raises UnusableInputError when its strip is unreadable."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    cells = _cells(grey, _ROWS, _COLUMNS)
    pairs = cells.reshape(_ROWS, STRIP_BITS, 2)
    if grey.shape[1] < 2 * _COLUMNS or (pairs == pairs[0, :, :1]).all():
        return Strip(number=_number(_cells(grey, 1, STRIP_BITS)))
    whole = _number(cells).to_bytes(_ROWS * _COLUMNS // 8, "big")
    body, check = whole[:10], int.from_bytes(whole[10:], "big")
    if binascii.crc_hqx(body, 0xFFFF) != check:
        raise UnusableInputError("a readable strip", "blocks that contradict each other", "picture")
    return Strip(number=int.from_bytes(body[:4], "big"), utc_ms=int.from_bytes(body[4:], "big"))


def _bits(value: int, count: int) -> NDArray[np.bool_]:
    return np.array([value >> (count - 1 - bit) & 1 for bit in range(count)], dtype=bool)


def _number(bits: NDArray[np.bool_]) -> int:
    return int("".join("1" if bit else "0" for bit in bits.ravel()), 2)


def _cells(grey: NDArray[Any], rows: int, columns: int) -> NDArray[np.bool_]:
    """Each block's middle, which is what an encoder blurs least, against half of a light one."""
    height, width = grey.shape
    top = height - round(STRIP * height)
    found = np.zeros((rows, columns), dtype=bool)
    for row in range(rows):
        y0, y1 = _middle(top, height, row, rows)
        for column in range(columns):
            x0, x1 = _middle(0, width, column, columns)
            found[row, column] = grey[y0:y1, x0:x1].mean() > _LIGHT / 2
    return cast("NDArray[np.bool_]", found)


def _middle(start: int, end: int, index: int, count: int) -> tuple[int, int]:
    first = start + index * (end - start) // count
    last = max(first + 1, start + (index + 1) * (end - start) // count)
    quarter = (last - first) // 4
    return first + quarter, max(first + quarter + 1, last - quarter)
