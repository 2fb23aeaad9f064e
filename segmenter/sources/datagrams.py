"""A camera that sends datagrams to a port of its own: MPEG-TS by UDP, MPEG-TS or H.264 by RTP.

UDP carries no key, so who may send is told by address. Whoever else sends is not seen, and not answered.
"""

import threading
import time
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from segmenter.source import Connection, SourceError
from segmenter.sources.feed import Feed, FeedConnection
from segmenter.sources.ports import Port, Sender
from segmenter.sources.rtp import MPEG_TS, InOrder, RtpPacket, parse_rtp
from segmenter.sources.rtp_connection import RtpConnection
from sluice.address import SourceAddress

GATHER_S: Final = 0.03
"""Little: what does not fit into a socket's buffer is lost."""
QUIET_S: Final = 1.0
"""A sender that said nothing for as long may be replaced by another."""
_STALE_S: Final = 2.0


def datagrams(address: SourceAddress, *, silent_s: float) -> "DatagramSource":
    """The source that *address* names: udp or rtp, with `allow` among its options."""
    pieces = urlsplit(address.url)
    port = Port(
        pieces.hostname or "0.0.0.0",  # noqa: S104 (who may send is told by `allow`)
        pieces.port or 0,
        allow=address.options["allow"].split(","),
        rtp=address.scheme == "rtp",
        silent_s=silent_s,
    )
    return DatagramSource(port, silent_s=silent_s)


class DatagramSource:
    """One a camera; its port stays open between two connections."""

    awaits_its_camera: Final = True

    def __init__(self, port: Port, *, silent_s: float) -> None:
        self.port = port
        self.lost = 0
        """Packets of RTP that never came."""
        self._silent_s = silent_s
        self._lock = threading.Lock()
        self._reading = self._stopped = self._told_silent = False
        self._ended_s: float | None = None

    def open(self) -> Connection:
        """Wait for the camera's first datagram; for ever, once it was told that there is none."""
        with self._lock:
            if self._stopped:
                raise SourceError("stopped", "the segmenter listens no longer")
            self._reading = True
        try:
            self.port.bind()
            if self._ended_s is not None and time.monotonic() - self._ended_s > _STALE_S:
                self.port.forget()
            sender, data = self._first()
            return self._connected(Datagrams(self, sender, data), parse_rtp(data) if self.port.rtp else None)
        except BaseException:
            self.ended()
            raise

    def interrupt(self) -> None:
        """As Source has it."""
        with self._lock:
            self._stopped = True
            self.port.interrupt()
            if not self._reading:
                self.port.close()

    @property
    def counts(self) -> dict[str, int]:
        """By the fields of a CameraReport."""
        port = self.port
        return {"packets_lost": self.lost, "datagrams_refused": port.refused, "datagrams_broken": port.broken}

    def ended(self) -> None:
        """Nobody reads for now."""
        with self._lock:
            self._reading, self._ended_s = False, time.monotonic()
            if self._stopped:
                self.port.close()

    def _connected(self, datagrams: "Datagrams", first: RtpPacket | None) -> Connection:
        if first is not None and first.payload_type != MPEG_TS:
            return PictureConnection(self, datagrams, silent_s=self._silent_s)
        return StreamConnection(self, Stream(datagrams, rtp=first is not None), silent_s=self._silent_s)

    def _first(self) -> tuple[Sender, bytes]:
        while True:
            try:
                first = self.port.receive()
            except SourceError as error:
                if error.reason == "silent" and self._told_silent:
                    continue  # a camera that begins again is not to wait for the next attempt
                self._told_silent = error.reason == "silent"
                raise
            self._told_silent = False
            return first


class Datagrams:
    """What one sender sends; each datagram of RTP in its place."""

    def __init__(self, source: DatagramSource, sender: Sender, first: bytes) -> None:
        self._source, self._sender, self._first = source, sender, first
        self._heard_s = time.monotonic()
        self._order = InOrder()

    def next(self) -> bytes:
        """Wait for a datagram."""
        if self._first:
            first, self._first = self._first, b""
            return first
        port = self._source.port
        while True:
            sender, data = port.receive()
            if sender == self._sender:
                self._heard_s = time.monotonic()
                return data
            if time.monotonic() - self._heard_s > QUIET_S:
                port.keep(sender, data)
                raise SourceError("ended", f"another sender took over: {sender[0]}")
            port.refused += 1

    def next_packets(self) -> list[RtpPacket]:
        """Wait for a packet of RTP; those that are in order with it."""
        packet = parse_rtp(self.next())
        if packet is None:
            return []
        before = self._order.lost
        packets = self._order.add(packet)
        self._source.lost += self._order.lost - before
        return packets


class Stream:
    """MPEG-TS in datagrams, as the file that the demuxer reads."""

    failure: SourceError | None = None

    def __init__(self, datagrams: Datagrams, *, rtp: bool) -> None:
        self._datagrams, self._rtp = datagrams, rtp
        self._ready: deque[bytes] = deque()

    def read(self, most: int) -> bytes:
        """As Reader has it."""
        while not self._ready:
            if self._rtp:
                self._ready.extend(each.payload for each in self._datagrams.next_packets())
            else:
                self._ready.append(self._datagrams.next())
        data = self._ready.popleft()
        if len(data) > most:
            self._ready.appendleft(data[most:])
        return data[:most]


class StreamConnection(FeedConnection):
    """MPEG-TS whose tracks are known."""

    def __init__(self, source: DatagramSource, stream: Stream, *, silent_s: float) -> None:
        self._source = source
        super().__init__(Feed(stream, silent_s=silent_s), gather_s=GATHER_S, form="mpegts")

    def close(self) -> None:
        """As Connection has it."""
        super().close()
        self._source.ended()


class PictureConnection(RtpConnection):
    """H.264 whose parameter sets are known."""

    def __init__(self, source: DatagramSource, datagrams: Datagrams, *, silent_s: float) -> None:
        self._source = source
        super().__init__(datagrams, gather_s=GATHER_S, silent_s=silent_s)

    def close(self) -> None:
        """As Connection has it."""
        super().close()
        self._source.ended()
