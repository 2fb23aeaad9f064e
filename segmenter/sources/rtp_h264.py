"""Pictures of H.264 from packets of RTP (RFC 6184, packetization modes 0 and 1); pure."""

from typing import Final, NamedTuple

from segmenter.source import SourceError
from segmenter.sources.rtp import RtpPacket

PICTURE_BYTES: Final = 16 << 20
UNITS_MOST: Final = 4096
_OBJECT: Final = 64
"""What a fragment takes beside its bytes, about."""
_START: Final = b"\0\0\0\1"
_SINGLE: Final = range(1, 24)
_STAP_A: Final = 24
_FU_A: Final = 28
_SLICES: Final = range(1, 6)
_SLICE, _IDR, _SEI, _SPS, _PPS = 1, 5, 6, 7, 8
_RECOVERY_POINT: Final = 6
_FIRST_BLOCK: Final = 0x80
"""first_mb_in_slice is 0: its code is a single 1."""


class Picture(NamedTuple):
    """An access unit."""

    timestamp: int
    data: bytes
    """With start codes."""
    keyframe: bool
    """Whole, and decoding can begin with it."""
    complete: bool
    """Its parameter sets come with it."""


class Pictures:
    """Takes packets in the order of their numbers. What was torn by a loss is left out; the rest of the picture is not.

    A picture ends by the marker, or where the timestamp changes.
    """

    def __init__(self) -> None:
        self.broken = 0
        """Packets that are none of H.264, or fragments without their beginning."""
        self._next = -1
        self._timestamp = -1
        self._ended = -1
        """The timestamp of the last picture that a marker ended."""
        self._markers_lie = False
        self._fragment: list[bytes] | None = None
        self._clear()

    def add(self, packet: RtpPacket) -> list[Picture]:
        """Take a packet; returns what is whole with it. Raises SourceError for a picture without end."""
        pictures = []
        gap = self._next not in (-1, packet.sequence)
        self._next = (packet.sequence + 1) & 0xFFFF
        if gap:
            self._fragment, self._torn = None, True
        if packet.timestamp != self._timestamp:
            pictures += self.rest()
            self._timestamp, self._torn = packet.timestamp, self._torn or gap
        self._take(packet.payload)
        if packet.marker and not self._markers_lie and self._slices:
            self._ended = self._timestamp
            pictures += self.rest()
        return pictures

    def rest(self) -> list[Picture]:
        """Nothing follows: the picture that no marker ended."""
        if self._fragment is not None:
            unit, self._fragment = b"".join(self._fragment), None
            self._add(unit)  # some senders forget to mark its end
        if not self._slices:
            if self._torn:
                self._clear()
            return []  # parameter sets that come ahead, with a time of their own
        kinds = self._kinds
        keyframe = not self._torn and (_IDR in kinds or self._recovers)
        sets = _SPS in kinds and _PPS in kinds
        picture = Picture(self._timestamp, _START + _START.join(self._units), keyframe, keyframe and sets)
        self._clear()
        return [picture]

    def _clear(self) -> None:
        self._units: list[bytes] = []
        self._kinds: set[int] = set()
        self._fragment = None
        self._slices = self._bytes = 0
        self._torn = self._recovers = False

    def _take(self, payload: bytes) -> None:
        kind = payload[0] & 0x1F
        if kind == _FU_A and len(payload) > 2:
            self._take_fragment(payload)
            return
        self._tear()
        if kind in _SINGLE:
            self._add(payload)
        elif kind == _STAP_A:
            self._take_several(payload)
        else:
            self.broken += 1

    def _take_fragment(self, payload: bytes) -> None:
        head = payload[1]
        if head & 0x80:
            self._tear()
            self._fragment = [bytes((payload[0] & 0xE0 | head & 0x1F,))]
        pieces = self._fragment
        if pieces is None:
            self._torn = True
            self.broken += 1
            return
        pieces.append(payload[2:])
        self._grow(len(payload) + _OBJECT)
        if head & 0x40:
            self._fragment = None
            self._add(b"".join(pieces))

    def _take_several(self, payload: bytes) -> None:
        at = 1
        while at + 2 < len(payload):
            size = int.from_bytes(payload[at : at + 2], "big")
            unit = payload[at + 2 : at + 2 + size]
            at += 2 + size
            if len(unit) < size or not unit:
                self._torn = True
                self.broken += 1
                return
            self._add(unit)

    def _tear(self) -> None:
        """A fragment that another unit follows has lost its end."""
        if self._fragment is not None:
            self._fragment, self._torn = None, True
            self.broken += 1

    def _add(self, unit: bytes) -> None:
        kind = unit[0] & 0x1F
        if kind not in _SINGLE:
            self.broken += 1
            return
        if kind in _SLICES:
            if not self._slices and self._timestamp == self._ended and len(unit) > 1 and not unit[1] & _FIRST_BLOCK:
                self._markers_lie = True  # it marks each slice; from now on timestamps tell
            self._slices += 1
        elif kind == _SEI:
            self._recovers = self._recovers or _recovers(unit)
        self._kinds.add(kind)
        self._units.append(unit)
        self._grow(len(unit))

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes > 2 * PICTURE_BYTES or len(self._units) > UNITS_MOST:
            raise SourceError("too-large", f"a picture of more than {PICTURE_BYTES} bytes or {UNITS_MOST} units")


def _recovers(unit: bytes) -> bool:
    """Whether one of its messages is a recovery point (ITU-T H.264, 7.3.2.3.1): pictures without IDR begin so."""
    at = 1
    while at + 2 < len(unit):
        kind, at = _coded(unit, at)
        size, at = _coded(unit, at)
        if kind == _RECOVERY_POINT and size:
            return True
        at += size
    return False


def _coded(unit: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(unit) and unit[at] == 0xFF:
        value, at = value + 0xFF, at + 1
    return (value + unit[at], at + 1) if at < len(unit) else (value, at)
