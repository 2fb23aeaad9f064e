"""RTP (RFC 3550): packets read, and put in order within a small window; pure."""

import struct
from dataclasses import dataclass
from typing import Final

MPEG_TS: Final = 33
DYNAMIC: Final = range(96, 128)
WINDOW: Final = 32
"""Packets that are held while one is missing."""
_VERSION: Final = 2
_JUMP: Final = 3000
"""Further away it is no packet that was lost or late: the sender counts anew."""
_LATE: Final = 100
"""So many in a row that are late: likewise."""
_HEAD: Final = struct.Struct(">BBHII")
_RTCP: Final = range(64, 96)  # of the second byte's lower seven bits (RFC 5761)


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """What its head says."""

    sequence: int
    sender: int
    """SSRC: chosen anew when a sender starts."""
    payload_type: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Read a packet; None: it is none, or one of RTCP."""
    if len(data) < _HEAD.size:
        return None
    first, second, sequence, _, sender = _HEAD.unpack_from(data)
    payload_type = second & 0x7F
    if first >> 6 != _VERSION or payload_type in _RTCP:
        return None
    begin, end = _HEAD.size + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if len(data) < begin + 4:
            return None
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    if first & 0x20:
        end -= data[-1]
    return RtpPacket(sequence, sender, payload_type, data[begin:end]) if begin < end else None


class InOrder:
    """One a sender."""

    def __init__(self) -> None:
        self.lost = 0
        """Packets that never came, or too late."""
        self._next = -1
        self._late = 0
        self._held: dict[int, bytes] = {}

    def add(self, sequence: int, data: bytes) -> list[bytes]:
        """Return what is in order now that this one is here."""
        if sequence == self._next and not self._held:  # as nearly always
            self._next, self._late = (sequence + 1) & 0xFFFF, 0
            return [data]
        ahead = self._ahead(sequence)
        behind = 0x10000 - ahead
        if behind <= _JUMP and self._next >= 0:
            self._late += 1
            if self._late < _LATE:
                return []  # a copy, or given up already
        if self._next < 0 or ahead > _JUMP:
            return self._begin_anew(sequence, data)
        self._held[sequence], self._late = data, 0
        if len(self._held) >= WINDOW:
            nearest = min(self._held, key=self._ahead)
            self.lost += self._ahead(nearest)
            self._next = nearest
        return self._run()

    def _begin_anew(self, sequence: int, data: bytes) -> list[bytes]:
        held = [self._held[each] for each in sorted(self._held, key=self._ahead)]
        self._held.clear()
        self._next, self._late = (sequence + 1) & 0xFFFF, 0
        return [*held, data]

    def _run(self) -> list[bytes]:
        ready = []
        while (data := self._held.pop(self._next, None)) is not None:
            ready.append(data)
            self._next = (self._next + 1) & 0xFFFF
        return ready

    def _ahead(self, sequence: int) -> int:
        return (sequence - self._next) & 0xFFFF
