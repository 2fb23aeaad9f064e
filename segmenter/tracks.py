"""The tracks of a source that a chunk copies: its video, and its audio where that is AAC."""

import copy
import io
from fractions import Fraction
from typing import Any, Final, TypeAlias, cast

import av
from av.container import InputContainer, OutputContainer
from av.container.core import Flags
from av.packet import Packet
from av.stream import Disposition, Stream

from segmenter.parameters import HEAD, Parameters
from sluice.errors import UnusableInputError

AnyPacket: TypeAlias = "Packet[Stream]"
BITEXACT: Final = cast("int", Flags.bitexact.value)
"""Of a container's flags: without it the library writes its own version into the file."""
VIDEO: Final = {"h264": "avc1", "hevc": "hvc1"}
"""What is passed through, and its tag: Apple's players take hvc1 (parameter sets in moov), not hev1."""
_FINEST: Final = 1_000_000
_COARSEST: Final = 10_000
_USUAL: Final = 90_000


class Templates:
    """Copies of streams, in an output that is never written: a stream of a closed container is memory that was freed.

    The last chunk is written when its source is gone.
    """

    def __init__(self, video: Any, audio: Any | None) -> None:
        self._output = av.open(io.BytesIO(), "w", format="matroska")
        self.video: Any = self._output.add_stream_from_template(video)
        self.audio: Any = None if audio is None else self._output.add_stream_from_template(audio)


class SourceTracks:
    """One a source connection: what it learns of the audio outlives a chunk, so the init stays the same."""

    def __init__(self, container: InputContainer, name: str) -> None:
        self.name = name
        video = _video_of(container, name)
        self._codec = codec_of(video)
        self._index = video.index
        self.video_time_base: Fraction = video.time_base
        self.timescale = _timescale(video.time_base)
        self.parameters = Parameters(self._codec, video.codec_context.extradata)
        self.video_record: bytes | None = None
        audio = next(iter(container.streams.audio), None)
        self._audio_index = -1 if audio is None else audio.index
        self._audio_codec = None if audio is None else codec_of(audio)
        self.audio_time_base = None if audio is None else audio.time_base
        self.audio_config: bytes | None = None
        """AudioSpecificConfig; None while there is no AAC."""
        self._to_raw: Any = None
        if audio is not None and self._audio_codec == "aac":
            self.audio_config = audio.codec_context.extradata
            if not self.audio_config:
                # ADTS, from MPEG-TS: without an output stream, as with one the tag of MPEG-TS comes along, which the
                # mp4 muxer refuses.
                self._to_raw = av.BitStreamFilterContext("aac_adtstoasc", audio)
        self.templates = Templates(video, audio if self._audio_codec == "aac" else None)

    @property
    def audio_dropped(self) -> str | None:
        """The codec of the audio that is not copied, if there is such."""
        return None if self.audio_config else self._audio_codec

    def is_video(self, packet: AnyPacket) -> bool:
        """Whether the packet is of the track that is cut."""
        return bool(packet.stream_index == self._index)

    def renewed(self, keyframe: AnyPacket) -> "SourceTracks | None":
        """The tracks from *keyframe* on, if it brings other parameter sets: another size, another encoder."""
        record = bytes(keyframe.get_sidedata("new_extradata")) if keyframe.has_sidedata("new_extradata") else None
        if record is None and self.parameters.length_size is None:
            head = bytes(memoryview(keyframe)[:HEAD])
            if self.parameters.within(head) <= self.parameters.sets:
                return None
        elif record is None or Parameters(self._codec, record).sets <= self.parameters.sets:
            return None
        return self._from(keyframe, record)

    def _from(self, keyframe: AnyPacket, record: bytes | None) -> "SourceTracks | None":
        brought = self.parameters if record is None else Parameters(self._codec, record)
        raw = bytes(memoryview(keyframe))
        other = copy.copy(self)
        try:
            # FFmpeg reads the size from the sets.
            raw = raw if record is None else brought.annex_b(raw)
            with av.open(io.BytesIO(raw), "r", format=self._codec) as found:
                video = _video_of(found, self.name)
                other.parameters = Parameters(self._codec, record or video.codec_context.extradata)
                other.templates, other.video_record = Templates(video, self.templates.audio), record
        except (av.error.FFmpegError, UnusableInputError):
            return None  # half a keyframe; the next one brings them again
        return other

    def copied_audio(self, packet: AnyPacket) -> list[AnyPacket]:
        """The packet as mp4 wants it: without ADTS header; nothing when it is not of a copied track, or has no time."""
        if (
            self.templates.audio is None
            or packet.stream_index != self._audio_index
            or packet.pts is None
            or not packet.size
        ):
            return []
        if self._to_raw is None:
            return [packet] if self.audio_config else []
        try:
            raw: list[AnyPacket] = self._to_raw.filter(packet)
        except av.error.FFmpegError:
            return []  # a broken frame of sound is never worth the picture
        for each in raw:
            if self.audio_config is None and each.has_sidedata("new_extradata"):
                self.audio_config = bytes(each.get_sidedata("new_extradata"))
        return raw if self.audio_config else []

    def add_to(self, output: OutputContainer, *, audio_bit_rate: int) -> tuple[Any, Any | None]:
        """Declare the copied tracks in *output*: the video, and the audio if it is copied."""
        video = output.add_stream_from_template(self.templates.video)
        video.codec_context.codec_tag = VIDEO[self._codec]
        if self.video_record:
            video.codec_context.extradata = self.video_record
        if self.templates.audio is None or not self.audio_config:
            return video, None
        audio = output.add_stream_from_template(self.templates.audio)
        audio.codec_context.extradata = self.audio_config
        audio.codec_context.bit_rate = audio_bit_rate
        return video, audio


def codec_of(stream: Any) -> str:
    """What it holds, whichever library decodes or encodes it."""
    # PyAV has no context for a codec that its FFmpeg cannot decode.
    return str(stream.codec_context.codec.canonical_name) if stream.codec_context is not None else "unknown"


def video_stream(container: Any) -> Any | None:
    """The video that is cut: the first that is no cover picture."""
    return next((each for each in container.streams.video if not each.disposition & Disposition.attached_pic), None)


def _video_of(container: InputContainer, name: str) -> Any:
    stream = video_stream(container)
    if stream is None:
        raise UnusableInputError("a video track", "none", name)
    if codec_of(stream) not in VIDEO:
        raise UnusableInputError("H.264 or H.265 video", codec_of(stream), name)
    if not stream.codec_context.extradata or not stream.width or not stream.height:
        raise UnusableInputError("video with parameter sets", "none before the first frame", name)
    return stream


def _timescale(time_base: Fraction | None) -> int:
    """The source's own where mp4 can keep it, so that no time is rounded."""
    own = time_base and time_base.numerator == 1 and _COARSEST <= time_base.denominator <= _FINEST
    return time_base.denominator if own and time_base else _USUAL


def time_of(packet: AnyPacket) -> Fraction:
    """When it is shown or heard, in seconds of media time."""
    return (packet.pts or 0) * packet.time_base
