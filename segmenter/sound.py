"""Sound that is not AAC (G.711, PCM, MP3, Opus …) becomes AAC, in step with the picture whatever is lost on the way."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av

from segmenter.tracks import AnyPacket

RATES: Final = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Of AAC; others become the next higher."""
TOLERANCE_S: Final = 0.06
"""Less is the jitter of time stamps; by more, samples are left out or silence is put in."""
SILENCE_MOST_S: Final = 1.0
"""A longer gap stays one."""
_FRAME: Final = 1024
_SAMPLES_MOST: Final = 1 << 20
"""In one packet."""


class Sound:
    """One a connection."""

    def __init__(self, source: Any, target: Any) -> None:
        """*target*: a stream of set_up()'s, which names the packets."""
        self.broken = 0
        """Packets that could not be decoded, or came twice."""
        self._decoder, self._time_base = source.codec_context, source.time_base
        self._decoder.thread_count = 1
        self._target, self._encoder = target, target.codec_context
        self._rate = self._encoder.sample_rate
        self._resampler = self._new_resampler()
        self._waiting = av.AudioFifo()
        self._from: int | None = None
        """Time of the first sample that waits, in samples; None before the first."""

    def converted(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """The packet's sound as AAC, once it fills a frame; what is broken is counted."""
        try:
            for frame in self._decoder.decode(packet):
                for each in self._resampled(frame):
                    yield from self._placed(each)
        except av.error.FFmpegError:
            self.broken += 1

    def rest(self) -> Iterator[AnyPacket]:
        """What waits for a full frame, at the end."""
        try:
            yield from self._filled_up()
            yield from self._named(None)
        except av.error.FFmpegError:
            self.broken += 1

    def _resampled(self, frame: Any) -> list[Any]:
        if frame.samples > _SAMPLES_MOST:
            self.broken += 1
            return []
        if frame.pts is not None and frame.time_base is None:
            frame.time_base = self._time_base
        try:
            found: list[Any] = self._resampler.resample(frame)
        except ValueError:
            # Another rate or number of channels from here on.
            self._resampler = self._new_resampler()
            found = self._resampler.resample(frame)
        return found

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=self._encoder.layout, rate=self._rate)

    def _placed(self, frame: Any) -> Iterator[AnyPacket]:
        at = None if frame.pts is None else round(frame.pts * frame.time_base * self._rate)
        if self._from is None:
            self._from = at
        if self._from is None:
            return
        ahead = 0 if at is None else at - self._from - self._waiting.samples
        if at is not None and abs(ahead) > SILENCE_MOST_S * self._rate:
            yield from self._filled_up()
            self._from = at
        elif ahead < -TOLERANCE_S * self._rate:
            self.broken += 1
            return
        elif ahead > TOLERANCE_S * self._rate:
            self._write(self._silence(ahead))
        self._write(frame)
        while self._waiting.samples >= _FRAME:
            yield from self._named(self._waiting.read(_FRAME))

    def _write(self, frame: Any) -> None:
        frame.pts, frame.time_base = None, Fraction(1, self._rate)
        self._waiting.write(frame)

    def _filled_up(self) -> Iterator[AnyPacket]:
        if self._waiting.samples:
            self._write(self._silence(_FRAME - self._waiting.samples))
            yield from self._named(self._waiting.read(_FRAME))

    def _silence(self, samples: int) -> Any:
        frame: Any = av.AudioFrame(format="fltp", layout=self._encoder.layout, samples=samples)
        frame.sample_rate = self._rate
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        return frame

    def _named(self, frame: Any) -> Iterator[AnyPacket]:
        if frame is not None:
            frame.pts, frame.time_base, frame.sample_rate = self._from, Fraction(1, self._rate), self._rate
            self._from = (self._from or 0) + _FRAME
        for packet in self._encoder.encode(frame):
            packet.stream = self._target
            yield packet


def set_up(source: Any, output: Any) -> Any | None:
    """Declare in *output* what *source* is converted to; None where it cannot be decoded."""
    context = source.codec_context
    if context is None or not context.sample_rate or not context.layout.nb_channels:
        return None
    rate = next((each for each in RATES if each >= context.sample_rate), RATES[-1])
    channels = min(2, context.layout.nb_channels)
    stream = output.add_stream("aac", rate=rate, layout="stereo" if channels == 2 else "mono")
    stream.codec_context.bit_rate = channels * (32_000 if rate <= 16_000 else 64_000)
    stream.time_base = Fraction(1, rate)
    return stream
