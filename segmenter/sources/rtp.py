"""RTP (RFC 3550): packets read, and put in order within a small window; pure."""

import struct
from typing import Final, NamedTuple

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


class RtpPacket(NamedTuple):
    """What its head says; a tuple, as one is made of each datagram."""

    sequence: int
    timestamp: int
    marker: bool
    """Of video: the last packet of a picture."""
    sender: int
    """SSRC: chosen anew when a sender starts."""
    payload_type: int
    payload: bytes


def parse_rtp(data: bytes) -> RtpPacket | None:
    """Read a packet; None: it is none, or one of RTCP."""
    if len(data) < _HEAD.size:
        return None
    first, second, sequence, timestamp, sender = _HEAD.unpack_from(data)
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
    if begin >= end:
        return None
    return RtpPacket(sequence, timestamp, bool(second & 0x80), sender, payload_type, data[begin:end])


class InOrder:
    """One a sender."""

    def __init__(self) -> None:
        self.lost = 0
        """Packets that never came, or too late."""
        self._next = -1
        self._late = 0
        self._held: dict[int, RtpPacket] = {}

    def add(self, packet: RtpPacket) -> list[RtpPacket]:
        """Return what is in order now that this one is here."""
        sequence = packet.sequence
        if sequence == self._next and not self._held:  # as nearly always
            self._next, self._late = (sequence + 1) & 0xFFFF, 0
            return [packet]
        ahead = self._ahead(sequence)
        behind = 0x10000 - ahead
        if behind <= _JUMP and self._next >= 0:
            self._late += 1
            if self._late < _LATE:
                return []  # a copy, or given up already
        if self._next < 0 or ahead > _JUMP:
            return self._begin_anew(packet)
        self._held[sequence], self._late = packet, 0
        if len(self._held) >= WINDOW:
            nearest = min(self._held, key=self._ahead)
            self.lost += self._ahead(nearest)
            self._next = nearest
        return self._run()

    def _begin_anew(self, packet: RtpPacket) -> list[RtpPacket]:
        held = [self._held[each] for each in sorted(self._held, key=self._ahead)]
        self._held.clear()
        self._next, self._late = (packet.sequence + 1) & 0xFFFF, 0
        return [*held, packet]

    def _run(self) -> list[RtpPacket]:
        ready = []
        while (packet := self._held.pop(self._next, None)) is not None:
            ready.append(packet)
            self._next = (self._next + 1) & 0xFFFF
        return ready

    def _ahead(self, sequence: int) -> int:
        return (sequence - self._next) & 0xFFFF
