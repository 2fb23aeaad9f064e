"""Cameras that are pulled over a network, by the library's own protocols."""

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import av
import av.error
import av.logging
from av.container import InputContainer

from segmenter.source import SourceError
from segmenter.sources.pace import Pace
from segmenter.sources.pieces import FETCHED, Pieces
from segmenter.sources.protocols import options
from segmenter.sources.refusals import broken, refused
from segmenter.sources.times import Heard, arrived
from segmenter.sources.tracked import Chosen
from segmenter.tracks import AnyPacket
from sluice.address import SourceAddress

OPEN_S: Final = 10.0
"""To connect, and again to look; each try."""
AGAIN_S: Final = 3.0
"""To connect a second time, while the first connection waits."""
RESOLVE_S: Final = 5.0
PACKET_BYTES: Final = 16 << 20
PLAYLIST_SILENT_S: Final = 30.0
"""A playlist gives a segment at a time, of up to 10 s mostly."""
AHEAD_S: Final = 60.0
"""A live playlist begins with its last segments at once; a film behind a URL would come as fast as the network."""
GATHER_S: Final = 0.5
GATHER_UDP_S: Final = 0.03
"""A socket of UDP holds 200 KB, less than a keyframe of 4K."""


class NetworkSource:
    """One a camera."""

    def __init__(self, address: SourceAddress, *, silent_s: float) -> None:
        self._address, self._silent_s = address, silent_s
        self._stopped = threading.Event()

    def open(self) -> "NetworkConnection":
        """As Source has it."""
        self._resolve()
        form = "hls" if urlsplit(self._address.url).path.endswith((".m3u8", ".m3u")) else None
        if self._address.scheme in ("rtsp", "rtsps"):
            return self._rtsp()
        container = self._container(form)
        if container.format.name == "hls" and form is None:
            # Opened anew: what may be decoded, and how long silence is, depends on it.
            container.close()
            container = self._container("hls")
        elif container.format.name.startswith("mov") and container.size < 0:
            return self._connected(self._in_pieces(container))  # without an end: no film, but a camera
        return self._connected(container)

    def interrupt(self) -> None:
        """As Source has it; the library is interrupted by time alone, so a read that waits ends by its time-out."""
        self._stopped.set()

    def _rtsp(self) -> "NetworkConnection":
        """Over TCP, and over UDP where the camera does not give it otherwise."""
        try:
            return self._connected(self._container(rtsp_transport="tcp"))
        except _TransportRefusedError as error:
            if self._address.scheme == "rtsps":
                raise refused(error.cause, self._address, allowed=OPEN_S) from error  # UDP would not be encrypted
        return self._connected(self._container(rtsp_transport="udp"), GATHER_UDP_S)

    def _in_pieces(self, container: InputContainer) -> InputContainer | Pieces:
        try:
            fetched = self._container("data", wait_s=AGAIN_S, **FETCHED)
            pieces = Pieces(fetched, self._address, silent_s=self._silent_s)
        except SourceError:
            return container  # it lets one client in at a time, so this one must do
        container.close()
        return pieces

    def _container(self, form: str | None = None, wait_s: float | None = None, **more: str) -> InputContainer:
        if self._stopped.is_set():
            raise SourceError("stopped", f"{self._address.shown}: no longer wanted")
        av.logging.set_level(None)
        began = time.monotonic()
        try:
            return av.open(
                self._address.url,
                "r",
                format=form,
                options=options(self._address, playlist=form == "hls") | more,
                timeout=(wait_s or OPEN_S, self._silent_for(form)),
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, MemoryError, ValueError) as error:
            if more.get("rtsp_transport") == "tcp" and _refuses_transport(error):
                raise _TransportRefusedError(error) from error
            raise refused(error, self._address, allowed=OPEN_S, waited=time.monotonic() - began) from error

    def _connected(self, container: InputContainer | Pieces, gather_s: float = GATHER_S) -> "NetworkConnection":
        silent_s = self._silent_for(container.format.name)
        try:
            return NetworkConnection(
                container, self._address, stopped=self._stopped, gather_s=gather_s, silent_s=silent_s
            )
        except SourceError:
            container.close()
            raise

    def _silent_for(self, form: str | None) -> float:
        return max(self._silent_s, PLAYLIST_SILENT_S) if form == "hls" else self._silent_s

    def _resolve(self) -> None:
        """Look the name up, in bounded time: the library's own look-up knows no end, and no error of its own."""
        host = urlsplit(self._address.url).hostname or ""
        if _is_number(host):
            return
        found: list[BaseException | None] = []

        def look() -> None:
            try:
                socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                found.append(error)
            else:
                found.append(None)

        looking = threading.Thread(target=look, name="resolve", daemon=True)
        looking.start()
        looking.join(RESOLVE_S)
        if found == [None]:
            return
        said = getattr(found[0], "strerror", None) or str(found[0]) if found else f"no answer within {RESOLVE_S:g} s"
        raise SourceError("unresolvable", f"{self._address.shown}: no address for {host} ({said})")


class _TransportRefusedError(Exception):
    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


def _refuses_transport(error: BaseException) -> bool:
    """Whether it is "461 Unsupported Transport", of which the library makes EPROTONOSUPPORT, or another refusal."""
    return getattr(error, "errno", None) == errno.EPROTONOSUPPORT or isinstance(error, av.error.HTTPOtherClientError)


class NetworkConnection:
    """A camera whose tracks are known."""

    transcoding: str | None = None

    def __init__(
        self,
        container: InputContainer | Pieces,
        address: SourceAddress,
        *,
        stopped: threading.Event,
        gather_s: float,
        silent_s: float,
    ) -> None:
        """Raises SourceError when it is not what a camera sends; the container stays open then."""
        self._input, self._address, self._stopped, self._silent_s = container, address, stopped, silent_s
        self._seen = 0.0
        self._chosen = Chosen(container, address)
        self.segmented = container.format.name == "hls"
        # JPEGs in HTTP have no time of their own: theirs is when they come.
        self._timeless = container.format.name == "mpjpeg"
        self.gather_s = 0.0 if self._timeless else gather_s

    @property
    def container(self) -> Any:
        """As Connection has it."""
        return self._chosen

    def packets(self) -> Iterator[AnyPacket]:
        """As Connection has it."""
        self._seen = time.monotonic()
        try:
            yield from self._read()
        except (av.error.FFmpegError, MemoryError) as error:
            raise self._silence() or self._broken(error) from error
        except SourceError as error:
            raise self._silence() or error from error
        raise self._silence() or self._error("ended", "it ended the stream")

    def close(self) -> None:
        """As Connection has it."""
        self._input.close()

    def _read(self) -> Iterator[AnyPacket]:
        video, audio = self._chosen.video, self._chosen.audio
        video_index, tick_s, heard = video.index, float(video.time_base), Heard(audio)
        pace, began = Pace(self._stopped.wait, ahead_s=AHEAD_S), self._seen
        for packet in self._awaited():
            if packet.stream_index == video_index and packet.size:
                if packet.size > PACKET_BYTES:
                    raise self._error("too-large", f"expected pictures of at most {PACKET_BYTES} bytes")
                if packet.dts is not None and not self._timeless:
                    pace.keep(packet.dts * tick_s)
                self._seen = time.monotonic()
                if self._timeless:
                    arrived(packet, self._seen - began)
                yield packet
            elif time.monotonic() - self._seen > self._silent_s:
                return
            elif packet.stream_index == heard.index and 0 < packet.size <= PACKET_BYTES:
                heard.mend(packet)
                yield packet

    def _awaited(self) -> Iterator[AnyPacket]:
        """Packets of all tracks: the library's time-out does not know whose they are."""
        packets, asked = self._input.demux(), time.monotonic()
        for packet in packets:
            waited = time.monotonic() - asked
            if self._stopped.is_set():
                raise self._error("stopped", "no longer wanted")
            yield packet
            asked = time.monotonic()
            if waited >= self._silent_s:
                # When its time is out the library gives the packet that it held, and would wait as long again.
                self._seen = asked - waited
                return

    def _silence(self) -> SourceError | None:
        """Silence, whatever the library makes of it: an end, an error of its own."""
        if time.monotonic() - self._seen < self._silent_s:
            return None
        return self._error("silent", f"no picture for {self._silent_s:g} s")

    def _broken(self, error: BaseException) -> SourceError:
        if self._timeless and isinstance(error, av.error.InvalidDataError):
            return self._error("ended", "its pictures ended")
        return broken(error, self._address)

    def _error(self, reason: str, sentence: str) -> SourceError:
        return SourceError(reason, f"{self._address.shown}: {sentence}")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
