"""Fragmented MP4 that the library fetches and that never ends, demuxed in pieces: its index would never end either."""

from collections.abc import Iterator
from typing import Any, Final

import av.error
from av.container import InputContainer

from segmenter.source import SourceError
from segmenter.sources.feed import Feed, FeedConnection
from segmenter.sources.refusals import broken
from segmenter.tracks import AnyPacket
from sluice.address import SourceAddress

FETCHED: Final = {"format_whitelist": "data", "raw_packet_size": "65536"}
"""Options with which the library demuxes nothing: its packets are the bytes of the body, as they come."""


class Pieces:
    """As much of a container as a connection needs."""

    def __init__(self, fetched: InputContainer, address: SourceAddress, *, silent_s: float) -> None:
        """*fetched*, opened as `data`, belongs to it; raises SourceError."""
        self._fetched = fetched
        try:
            self._demuxed = FeedConnection(Feed(_Fetched(fetched, address), silent_s=silent_s), gather_s=0.0)
        except SourceError as error:
            fetched.close()
            raise SourceError(error.reason, f"{address.shown}: {error.detail}") from error
        self.streams, self.format = self._demuxed.container.streams, self._demuxed.container.format

    def demux(self) -> Iterator[AnyPacket]:
        """As a container; raises SourceError instead of the library's errors."""
        return self._demuxed.packets()

    def close(self) -> None:
        """Give everything back."""
        self._demuxed.close()
        self._fetched.close()


class _Fetched:
    """A Reader."""

    def __init__(self, container: InputContainer, address: SourceAddress) -> None:
        self._packets: Iterator[Any] = container.demux()
        self._address = address
        self._held = b""
        self.failure: SourceError | None = None

    def read(self, most: int) -> bytes:
        """As Reader has it."""
        if not self._held:
            try:
                self._held = bytes(next(self._packets, b""))
            except (av.error.FFmpegError, MemoryError) as error:
                self.failure = broken(error, self._address)
                return b""
        data, self._held = self._held[:most], self._held[most:]
        return data
