"""A UDP port that hears the senders it is told of, and nobody else."""

import contextlib
import ipaddress
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from segmenter.source import SourceError
from segmenter.sources.rtp import DYNAMIC, MPEG_TS, parse_rtp

BUFFER_BYTES: Final = 4 << 20
TAKEN_S: Final = 1.0
"""A port is waited for as long: the source before, of the same camera, is about to give it back."""
_TRY_S: Final = 0.05
_DATAGRAM: Final = 65_535
_KNOWN_MAX: Final = 256
_SYNC: Final = b"\x47"
_SO_RCVBUFFORCE: Final = 33  # linux/asm-generic/socket.h; Python has no name for it

Sender = tuple[str, int, int]
"""Address, port, and SSRC where it is RTP."""


class Port:
    """One thread receives; interrupt() and close() from any."""

    def __init__(self, host: str, port: int, *, allow: Sequence[str], rtp: bool, silent_s: float) -> None:
        self._host, self._port, self._silent_s = host, port, silent_s
        self.rtp = rtp
        self._networks = [ipaddress.ip_network(each, strict=False) for each in allow]
        self._known: set[str] = set()
        self._kept: deque[tuple[Sender, bytes]] = deque()
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()
        self.refused = 0
        """Datagrams of senders that are not allowed, or not the one that is listened to."""
        self.broken = 0
        """Datagrams that are not what the address says."""

    @property
    def number(self) -> int:
        """Where it listens; given by the system when 0 was asked for."""
        return self._port

    def bind(self) -> None:
        """Listen, if it does not yet; raises SourceError."""
        deadline = time.monotonic() + TAKEN_S
        while self._socket is None:
            try:
                self._socket = _listening(self._host, self._port, self._silent_s)
                self._port = self._socket.getsockname()[1]
            except SourceError:
                if time.monotonic() > deadline or self._stopped.wait(_TRY_S):
                    raise

    def receive(self) -> tuple[Sender, bytes]:
        """Return the next datagram of somebody who may send; raises SourceError: silent, stopped or unreachable."""
        if self._kept:
            return self._kept.popleft()
        deadline: float | None = None
        while not self._stopped.is_set() and self._socket is not None:
            try:
                data, address = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError as error:
                raise SourceError("silent", self._silence()) from error
            except OSError as error:
                raise SourceError("unreachable", f"UDP port {self._port}: {error.strerror}") from error
            if data and (address[0] in self._known or self._allowed(address[0])):
                sender = self._sender(data)
                if sender is not None:
                    return (address[0], address[1], sender), data
            # The socket's own timeout begins anew with each datagram of a stranger.
            deadline = deadline or time.monotonic() + self._silent_s
            if time.monotonic() > deadline:
                raise SourceError("silent", self._silence())
        raise SourceError("stopped", "the segmenter listens no longer")

    def keep(self, sender: Sender, data: bytes) -> None:
        """Give a datagram back; it is the next that is received."""
        self._kept.append((sender, data))

    def forget(self) -> None:
        """Drop what came while nobody read: it is of another time."""
        with contextlib.suppress(OSError):
            while self._socket is not None and not self._stopped.is_set():
                self._socket.recv(1, socket.MSG_DONTWAIT)

    def interrupt(self) -> None:
        """For good: receive() ends."""
        self._stopped.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Linux says that it is not connected, and wakes its reader (inet_shutdown in net/ipv4/af_inet.c).
                self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Nobody receives any longer."""
        if self._socket is not None:
            self._socket.close()

    def _allowed(self, host: str) -> bool:
        address = ipaddress.ip_address(host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._networks):
            if len(self._known) < _KNOWN_MAX:
                self._known.add(host)
            return True
        self.refused += 1
        return False

    def _sender(self, data: bytes) -> int | None:
        """SSRC of RTP, 0 of MPEG-TS, None of anything else."""
        if self.rtp:
            packet = parse_rtp(data)
            if packet is not None and (packet.payload_type == MPEG_TS or packet.payload_type in DYNAMIC):
                return packet.sender
        elif data[:1] == _SYNC:
            return 0
        self.broken += 1
        return None

    def _silence(self) -> str:
        expected = "RTP of MPEG-TS (33) or H.264 (96 to 127)" if self.rtp else "MPEG-TS"
        return (
            f"UDP port {self._port}: expected {expected}, found nothing for {self._silent_s:g} s"
            f" ({self.refused} datagrams of senders that are not allowed, {self.broken} of something else)"
        )


def _listening(host: str, port: int, silent_s: float) -> socket.socket:
    where = f"UDP port {port} of {host}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SourceError("unresolvable", f"{where}: {error.strerror}") from error
    sock = socket.socket(found[0][0], socket.SOCK_DGRAM)
    try:
        _enlarge(sock)
        timeout = struct.pack("ll", int(silent_s), int(silent_s % 1 * 1_000_000))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)
        sock.bind(found[0][4])
    except OSError as error:
        sock.close()
        raise SourceError("unreachable", f"cannot listen at {where}: {error.strerror}") from error
    return sock


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER_BYTES)
    except OSError:  # without the right to more: as much as net.core.rmem_max allows
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
