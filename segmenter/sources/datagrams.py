"""A camera that sends datagrams to a port of its own: MPEG-TS by UDP, MPEG-TS or H.264 by RTP.

UDP carries no key, so who may send is told by address. Whoever else sends is not seen, and not answered.
"""

import threading
import time
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from segmenter.source import SourceError
from segmenter.sources.feed import Feed, FeedConnection
from segmenter.sources.ports import Port, Sender
from segmenter.sources.rtp import MPEG_TS, InOrder, parse_rtp
from sluice.address import SourceAddress

GATHER_S: Final = 0.03
"""Little: what does not fit into a socket's buffer is lost."""
QUIET_S: Final = 1.0
"""A sender that said nothing for as long may be replaced by another."""
_STALE_S: Final = 2.0
_SDP: Final = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    b"m=video 0 RTP/AVP %d\r\na=rtpmap:%d H264/90000\r\na=fmtp:%d packetization-mode=1\r\n"
)
_SDP_OPTIONS: Final = {"sdp_flags": "custom_io", "reorder_queue_size": "0"}


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

    def __init__(self, port: Port, *, silent_s: float) -> None:
        self.port = port
        self.lost = 0
        """Packets of RTP that never came."""
        self._silent_s = silent_s
        self._lock = threading.Lock()
        self._reading = self._stopped = self._told_silent = False
        self._ended_s: float | None = None

    def open(self) -> "DatagramConnection":
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
            return DatagramConnection(self, sender, data, silent_s=self._silent_s)
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

    def ended(self) -> None:
        """Nobody reads for now."""
        with self._lock:
            self._reading, self._ended_s = False, time.monotonic()
            if self._stopped:
                self.port.close()

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
    """What one sender sends, as the file that the demuxer reads."""

    failure: SourceError | None = None

    def __init__(self, source: DatagramSource, sender: Sender, first: bytes) -> None:
        self._source, self._sender = source, sender
        self._heard_s = time.monotonic()
        self._ready: deque[bytes] = deque()
        self._order: InOrder | None = None
        self._strip = False
        self.form = "mpegts"
        packet = parse_rtp(first) if source.port.rtp else None
        if packet is not None:
            self._order, self._strip = InOrder(), packet.payload_type == MPEG_TS
            if not self._strip:
                self.form = "sdp"
                # The library reads the description to an end, then asks once more, and finds that it was none.
                self._ready.extend((_SDP % ((packet.payload_type,) * 3), b""))
        self._take(first)

    def read(self, most: int) -> bytes:
        """As Reader has it: one packet, as the library parses them one by one."""
        port = self._source.port
        while not self._ready:
            sender, data = port.receive()
            if sender == self._sender:
                self._heard_s = time.monotonic()
                self._take(data)
            elif time.monotonic() - self._heard_s > QUIET_S:
                port.keep(sender, data)
                raise SourceError("ended", f"another sender took over: {sender[0]}")
            else:
                port.refused += 1
        data = self._ready.popleft()
        if len(data) > most:
            self._ready.appendleft(data[most:])
        return data[:most]

    def _take(self, data: bytes) -> None:
        packet = None if self._order is None else parse_rtp(data)
        if self._order is None or packet is None:
            self._ready.append(data)
            return
        before = self._order.lost
        self._ready.extend(self._order.add(packet.sequence, packet.payload if self._strip else data))
        self._source.lost += self._order.lost - before


class DatagramConnection(FeedConnection):
    """A sender whose tracks are known."""

    def __init__(self, source: DatagramSource, sender: Sender, first: bytes, *, silent_s: float) -> None:
        self._source = source
        reader = Datagrams(source, sender, first)
        options = _SDP_OPTIONS if reader.form == "sdp" else {}
        super().__init__(Feed(reader, silent_s=silent_s), gather_s=GATHER_S, form=reader.form, options=options)

    def close(self) -> None:
        """As Connection has it."""
        super().close()
        self._source.ended()
