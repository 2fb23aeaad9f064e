"""What a source sends becomes what chunks hold: H.264 or H.265, and AAC or silence; most of it passes untouched."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from segmenter.source import Connection, SourceError
from segmenter.tracks import VIDEO, AnyPacket, codec_of, video_stream

if TYPE_CHECKING:
    from segmenter.sound import Sound
    from segmenter.transcoding import Pictures

__all__ = ["Converted", "converted"]

BLOCKED_S: Final = 0.002
"""A packet that took longer was waited for: everything that had gathered is read."""


def converted(connection: Connection, *, audio: bool) -> Connection:
    """The connection itself where nothing is to be done; raises SourceError for video that cannot be converted.

    *audio* False leaves sound out. Sound that cannot be decoded is left to SourceTracks, which says so.
    """
    video = video_stream(connection.container)
    sound = next(iter(connection.container.streams.audio), None)
    if video is None:
        return connection
    pictures_too = codec_of(video) not in VIDEO
    sound_too = audio and sound is not None and codec_of(sound) not in ("aac", "unknown")
    if not pictures_too and not sound_too and (audio or sound is None):
        return connection
    return Converted(
        connection, video=video, sound=sound if audio else None, pictures_too=pictures_too, sound_too=sound_too
    )


@dataclass(slots=True, kw_only=True)
class ConversionCounts:
    """What was left out, since the connection was made; by the fields of a CameraReport."""

    pictures_skipped: int = 0
    """Pictures, because encoding them fell behind."""
    pictures_broken: int = 0
    """Pictures that could not be decoded."""
    sound_broken: int = 0
    """Packets of sound that could not be decoded, or came twice."""


class Converted:
    """A connection with tracks of its own."""

    def __init__(
        self, inner: Connection, *, video: Any, sound: Any | None, pictures_too: bool, sound_too: bool
    ) -> None:
        self._inner = inner
        self._video, self._sound = video.index, -1 if sound is None else sound.index
        self._becomes: dict[str, str] = {}
        self._pictures_by: Pictures | None = None
        self._sound_by: Sound | None = None
        self.container: Any = SimpleNamespace(
            streams=SimpleNamespace(video=[video], audio=[] if sound is None else [sound])
        )
        if pictures_too or sound_too:
            self._set_up(video if pictures_too else None, sound if sound_too else None)

    def _set_up(self, video: Any | None, sound: Any | None) -> None:
        import av

        from segmenter import sound as sounds
        from segmenter import transcoding

        # Its header alone is written: that gives the streams what templates are made of.
        self._output = av.open(io.BytesIO(), "w", format="nut")
        if (video is None and self._video == 0) or (sound is None and self._sound == 0):
            self._output.add_stream("pcm_mulaw", rate=8000)  # no track of ours may have the index of one that passes
        pictures = heard = None
        try:
            if video is not None:
                if video.codec_context is None or not video.codec_context.is_decoder:
                    raise SourceError("unsupported", f"video that cannot be decoded: {codec_of(video)}")
                pictures = transcoding.set_up(video, self._output)
            if sound is not None:
                heard = sounds.set_up(sound, self._output)
            self._output.start_encoding()
        except av.error.FFmpegError as error:
            raise SourceError("unsupported", f"no encoder for it: {error.strerror}") from error
        if pictures is not None:
            self._becomes[codec_of(video)] = "h264"
            self._pictures_by = transcoding.Pictures(video, pictures)
            self.container.streams.video = [pictures]
        if heard is not None:
            self._becomes[codec_of(sound)] = "aac"
            self._sound_by = sounds.Sound(sound, heard)
            self.container.streams.audio = [heard]

    @property
    def gather_s(self) -> float:
        """The source's own; 0 where packets gather in here, as converting one takes as long as waiting for it."""
        return 0.0 if self._becomes else self._inner.gather_s

    @property
    def segmented(self) -> bool:
        """As the source's own."""
        return getattr(self._inner, "segmented", False)

    @property
    def transcoding(self) -> str | None:
        """As in `mjpeg -> h264, pcm_alaw -> aac`."""
        return ", ".join(f"{name} -> {becomes}" for name, becomes in self._becomes.items()) or None

    @property
    def counts(self) -> ConversionCounts:
        """What was left out so far."""
        counts = ConversionCounts()
        if self._pictures_by is not None:
            counts.pictures_skipped, counts.pictures_broken = self._pictures_by.skipped, self._pictures_by.broken
        if self._sound_by is not None:
            counts.sound_broken = self._sound_by.broken
        return counts

    def packets(self) -> Iterator[AnyPacket]:
        """As they arrive, converted; at the end what the converters still hold, so that no picture is lost."""
        try:
            for packet in self._gathered() if self._becomes else self._inner.packets():
                yield from self._converted(packet)
        except SourceError:
            yield from self._rest()
            raise
        yield from self._rest()

    def _gathered(self) -> Iterator[AnyPacket]:
        gather_s, packets = self._inner.gather_s, iter(self._inner.packets())
        while True:
            asked = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            waited = time.monotonic() - asked > BLOCKED_S
            yield packet
            if waited and gather_s:
                time.sleep(gather_s)

    def _converted(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        if not packet.size:
            return
        if packet.stream_index == self._video:
            if self._pictures_by is None:
                yield packet
            else:
                yield from self._pictures_by.converted(packet)
        elif packet.stream_index == self._sound:
            if self._sound_by is None:
                yield packet
            else:
                yield from self._sound_by.converted(packet)

    def _rest(self) -> Iterator[AnyPacket]:
        for each in (self._pictures_by, self._sound_by):
            if each is not None:
                yield from each.rest()

    def close(self) -> None:
        """Give the source back."""
        self._inner.close()
