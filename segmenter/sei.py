"""A frame's number inside its packet, where no re-wrapping loses it: user data (SEI) of H.264 and H.265; pure."""

from typing import Final
from uuid import UUID

MARK: Final = UUID("5e1ce5a7-b0a4-4c6d-9f3e-7d21c86a94f5").bytes
"""Ours among all user data; no byte of it is zero, so nothing needs escaping."""
DIGITS: Final = 12
"""Decimal, which needs no escaping either: 1200 years at 25 frames a second."""
_DELIMITER: Final = {"h264": (0x1F, 0, 9), "hevc": (0x7E, 1, 35)}
"""Mask and shift of the type in a NAL unit's first byte, and the type that must stay first in its frame."""
_HEAD: Final = {"h264": b"\x06", "hevc": b"\x4e\x01"}
_USER_DATA: Final = 5


def numbered(packet: "bytes | memoryview[int]", number: int, *, codec: str, length_size: int | None) -> bytes:
    """The packet with *number* in it; *length_size* as mp4 has it before each NAL unit, None for start codes."""
    body = MARK + f"{number:0{DIGITS}d}".encode("ascii")
    unit = _HEAD[codec] + bytes((_USER_DATA, len(body))) + body + b"\x80"
    lead = b"\0\0\0\1" if length_size is None else len(unit).to_bytes(length_size, "big")
    at = _after_delimiter(bytes(packet[:64]), codec, length_size)
    return b"".join((packet[:at], lead, unit, packet[at:]))


def frame_number(packet: bytes) -> int | None:
    """The number that numbered() wrote, whatever the packet was wrapped in since; None where there is none."""
    at = packet.find(MARK)
    digits = packet[at + len(MARK) : at + len(MARK) + DIGITS] if at >= 0 else b""
    return int(digits) if len(digits) == DIGITS and digits.isdigit() else None


def _after_delimiter(head: bytes, codec: str, length_size: int | None) -> int:
    mask, shift, delimiter = _DELIMITER[codec]
    if length_size is None:
        size = 4 if head.startswith(b"\0\0\0\1") else 3
        end = head.find(b"\0\0\1", size)
        end = end - 1 if end > size and head[end - 1] == 0 else end
    else:
        size = length_size
        end = size + int.from_bytes(head[:size], "big")
    is_delimiter = len(head) > size and (head[size] & mask) >> shift == delimiter
    return end if is_delimiter and 0 < end <= len(head) else 0
