"""Times that the library leaves out."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

from segmenter.parameters import Parameters
from segmenter.sources.decoding import DecodingTimes
from segmenter.sources.reordering import reordering
from segmenter.tracks import VIDEO, AnyPacket, codec_of

CLOCK: Final = Fraction(1, 90_000)
AAC_SAMPLES: Final = 1024


def arrived(packet: AnyPacket, at_s: float) -> None:
    """A picture that carries no time has that of its arrival."""
    packet.time_base = CLOCK
    packet.pts = packet.dts = round(at_s / CLOCK)
    packet.duration = 0


class Heard:
    """Sound follows what came before it.

    A PES packet has one time for all its frames of sound: those that the library reads before it knows their rate
    are without.
    """

    def __init__(self, audio: Any | None) -> None:
        """Take the track of sound, if there is one."""
        self.index: int = -1 if audio is None else audio.index
        self._audio = audio
        self._ticks = 0
        self._before: int | None = None

    def mend(self, packet: AnyPacket) -> None:
        """Give the packet of this track a time and a duration, where it has none and they are known."""
        if packet.pts is None or not packet.duration:
            # Asked late: a track may tell its rate with its first packet.
            ticks = self._ticks = self._ticks or _frame_ticks(self._audio)
            if packet.pts is None and self._before is not None and ticks:
                packet.pts = packet.dts = self._before + ticks
            packet.duration = packet.duration or ticks
        self._before = packet.pts


class Decoded:
    """Pictures of a container that says when they are shown, with the times at which they are decoded."""

    def __init__(self, video: Any | None) -> None:
        """Take the track; one that is transcoded is let be."""
        codec = None if video is None else codec_of(video)
        self.index: int = video.index if video is not None and codec in VIDEO else -1
        if codec is not None and codec in VIDEO:
            sets = Parameters(codec, video.codec_context.extradata or b"").sets  # type: ignore[union-attr]  # it has a codec
            self._times = DecodingTimes[AnyPacket](video.time_base, reordering(codec, sets))  # type: ignore[union-attr]

    def mended(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """Those whose times are known with this one."""
        return _told([(packet.pts, packet.dts, packet)] if packet.pts is None else self._times.add(packet.pts, packet))

    def rest(self) -> Iterator[AnyPacket]:
        """What was held, at the end."""
        return _told(self._times.rest() if self.index >= 0 else [])


def _told(found: "Sequence[tuple[int | None, int | None, AnyPacket]]") -> Iterator[AnyPacket]:
    for shown, decoded, packet in found:
        packet.pts, packet.dts = shown, decoded
        yield packet


def _frame_ticks(audio: Any | None) -> int:
    context = None if audio is None else audio.codec_context
    if audio is None or context is None or context.name != "aac" or not context.sample_rate:
        return 0
    return int(AAC_SAMPLES / (context.sample_rate * audio.time_base))
