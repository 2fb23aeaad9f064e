"""Fragmented MP4 that never ends, in pieces that do.

FFmpeg's demuxer keeps an index of every sample it has seen, 8 MB an hour of a camera. So after a hundred fragments
it is told that the file has ended, and a new one goes on with the next fragment, behind the same init segment.
"""

from typing import Final

from segmenter.source import SourceError
from segmenter.sources.reading import Reader

FRAGMENTS: Final = 100
_INIT_MAX: Final = 5_000_000
_INIT: Final = (b"ftyp", b"moov")
_HEAD: Final = 16
_LEAST: Final = 8
_WIDE: Final = 1
"""As a size: it stands in 64 bits behind the kind."""
_ENDLESS: Final = 1 << 62


class Fragments:
    """A reader between the sender and the demuxer. It ends before a fragment, and then goes on."""

    def __init__(self, reader: Reader, *, begun: bytes = b"", fragments: int | None = None) -> None:
        """*begun* was read already."""
        self._reader, self._most = reader, fragments or FRAGMENTS
        self._init = bytearray()
        self._kind = b""  # of the box
        self._left = 0  # of the box
        self._ready = b""  # for the demuxer
        self._part = begun  # to be looked at; at least a head of a box
        self._count = 0
        self._paused = self._plain = False

    @property
    def failure(self) -> SourceError | None:
        """As Reader has it."""
        return self._reader.failure

    def goes_on(self) -> bool:
        """Whether it ended for the demuxer's sake; the next read begins with the init segment."""
        paused, self._paused = self._paused, False
        if paused:
            self._count, self._ready = 0, bytes(self._init)
        return paused

    def read(self, most: int) -> bytes:
        """As Reader has it."""
        while not self._ready:
            if self._paused:
                return b""
            part, self._part = self._part, b""
            more = self._reader.read(most) if len(part) < _HEAD else b""
            if self._plain or not part + more:
                return more
            # At the end there may be less than a head.
            self._ready = self._until_pause(part + more) if more or len(part) >= _HEAD else part
        data, self._ready = self._ready[:most], self._ready[most:]
        return data

    def _until_pause(self, data: bytes) -> bytes:
        """What the demuxer may have of *data*; the rest is kept."""
        at = 0
        while at < len(data):
            if not self._left and not self._opens(data, at):
                self._part = data[at:]
                return data[:at]
            step = min(self._left, len(data) - at)
            if self._kind in _INIT and not self._count:
                self._keep(data[at : at + step])
            self._left -= step
            at += step
        return data

    def _opens(self, data: bytes, at: int) -> bool:
        """Whether the demuxer may have the box that begins there; what is no box it may have for ever."""
        if len(data) - at < _HEAD:
            return False
        size, self._kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size == _WIDE:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < _LEAST:
            self._plain, size = True, _ENDLESS
        if self._kind == b"moof":
            if self._count >= self._most:
                self._paused = True
                return False
            self._count += 1
        self._left = size
        return True

    def _keep(self, data: bytes) -> None:
        self._init += data
        if len(self._init) > _INIT_MAX:
            raise SourceError("garbage", f"an init segment of more than {_INIT_MAX} bytes")
