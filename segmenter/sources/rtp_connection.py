"""A camera that sends H.264 by RTP, once its parameter sets are known."""

import io
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, Protocol

import av
import av.error
import av.logging
from av.container import InputContainer
from av.packet import Packet

from segmenter.parameters import Parameters
from segmenter.source import SourceError
from segmenter.sources.decoding import DecodingTimes
from segmenter.sources.limits import DECODED, MOST_PIXELS, check_limits
from segmenter.sources.reordering import reordering
from segmenter.sources.rtp import RtpPacket
from segmenter.sources.rtp_h264 import Picture, Pictures
from segmenter.tracks import AnyPacket

PROBE_S: Final = 10.0
CLOCK: Final = Fraction(1, 90_000)
_WRAP: Final = 1 << 32


class Packets(Protocol):
    """Whoever brings packets, in order."""

    def next_packets(self) -> list[RtpPacket]:
        """Wait for some; raises SourceError."""
        ...


class RtpConnection:
    """The packets of one sender as pictures with both their times. The demuxer of the library sees a keyframe, once."""

    transcoding: str | None = None

    def __init__(self, packets: Packets, *, gather_s: float, silent_s: float) -> None:
        """Wait for a keyframe with its parameter sets; raises SourceError."""
        self._packets, self._silent_s, self.gather_s = packets, silent_s, gather_s
        self._pictures = Pictures()
        self._kind = -1
        self._waiting = self._until_keyframe()
        self._shown = self._waiting[0].timestamp
        self._input = _opened(self._waiting[0].data)
        self._video: Any = self._input.streams.video[0]
        self._video.time_base = CLOCK
        sets = Parameters("h264", self._video.codec_context.extradata or b"").sets
        self._times = DecodingTimes[Picture](CLOCK, reordering("h264", sets))

    @property
    def container(self) -> Any:
        """As Connection has it."""
        return self._input

    @property
    def counts(self) -> dict[str, int]:
        """By the fields of a CameraReport."""
        return {"datagrams_broken": self._pictures.broken}

    def packets(self) -> Iterator[AnyPacket]:
        """As Connection has it."""
        waiting, self._waiting = self._waiting, []
        try:
            for picture in waiting:
                yield from self._timed(picture)
            for picture in self._received():
                yield from self._timed(picture)
        except SourceError:
            for picture in self._pictures.rest():
                yield from self._timed(picture)
            for shown, decoded, picture in self._times.rest():
                yield self._packet(shown, decoded, picture)
            raise

    def close(self) -> None:
        """As Connection has it."""
        self._input.close()

    def _until_keyframe(self) -> list[Picture]:
        deadline = time.monotonic() + PROBE_S
        while time.monotonic() < deadline:
            found = [picture for packet in self._next() for picture in self._pictures.add(packet)]
            for at, picture in enumerate(found):
                if picture.complete:
                    return found[at:]
        expected = f"H.264 with a keyframe and its parameter sets within {PROBE_S:g} s"
        raise SourceError("garbage", f"expected {expected}, found none")

    def _received(self) -> Iterator[Picture]:
        seen = time.monotonic()
        while True:
            for packet in self._next():
                for picture in self._pictures.add(packet):
                    seen = time.monotonic()
                    yield picture
            if time.monotonic() - seen > self._silent_s:
                raise SourceError("silent", f"packets, but no picture for {self._silent_s:g} s")

    def _next(self) -> list[RtpPacket]:
        packets = self._packets.next_packets()
        if self._kind < 0 and packets:
            self._kind = packets[0].payload_type
        return [each for each in packets if each.payload_type == self._kind]

    def _timed(self, picture: Picture) -> Iterator[AnyPacket]:
        ahead = (picture.timestamp - self._shown) % _WRAP
        self._shown += ahead - _WRAP if ahead >= _WRAP // 2 else ahead
        for shown, decoded, each in self._times.add(self._shown, picture):
            yield self._packet(shown, decoded, each)

    def _packet(self, shown: int, decoded: int, picture: Picture) -> AnyPacket:
        packet: Any = Packet(picture.data)
        packet.stream, packet.time_base = self._video, CLOCK
        packet.pts, packet.dts, packet.is_keyframe = shown, decoded, picture.keyframe
        return packet  # type: ignore[no-any-return]  # the types of the library leave its setters out


def _opened(keyframe: bytes) -> InputContainer:
    av.logging.set_level(None)
    told = {"codec_whitelist": DECODED, "max_pixels": str(MOST_PIXELS), "fpsprobesize": "0"}
    try:
        container = av.open(io.BytesIO(keyframe), "r", format="h264", options=told)
    except (av.error.FFmpegError, MemoryError, ValueError) as error:
        raise SourceError("garbage", f"not H.264: {getattr(error, 'strerror', None) or error}"[:200]) from error
    try:
        check_limits(container)
    except SourceError:
        container.close()
        raise
    return container
