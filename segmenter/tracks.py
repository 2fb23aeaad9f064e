"""The tracks of a source that a chunk copies: its video, and its audio where that is AAC."""

from fractions import Fraction
from typing import Any, Final, TypeAlias, cast

import av
from av.container import InputContainer, OutputContainer
from av.container.core import Flags
from av.packet import Packet
from av.stream import Disposition, Stream

from sluice.errors import UnusableInputError

AnyPacket: TypeAlias = "Packet[Stream]"
BITEXACT: Final = cast("int", Flags.bitexact.value)
"""Of a container's flags: without it the library writes its own version into the file."""
VIDEO: Final = {"h264": "avc1", "hevc": "hvc1"}
"""What is passed through, and its tag: Apple's players take hvc1 (parameter sets in moov), not hev1."""
_FINEST: Final = 1_000_000
_COARSEST: Final = 10_000
_USUAL: Final = 90_000


class SourceTracks:
    """One a source connection: what it learns of the audio outlives a chunk, so the init stays the same."""

    def __init__(self, container: InputContainer, name: str) -> None:
        self.name = name
        self.video = _video_of(container, name)
        self.timescale = _timescale(self.video.time_base)
        self.audio = next(iter(container.streams.audio), None)
        self.audio_config: bytes | None = None
        """AudioSpecificConfig; None while there is no AAC."""
        self._to_raw: Any = None
        if self.audio is not None and _codec(self.audio) == "aac":
            self.audio_config = self.audio.codec_context.extradata
            if not self.audio_config:
                # ADTS, from MPEG-TS: without an output stream, as with one the tag of MPEG-TS comes along, which the
                # mp4 muxer refuses.
                self._to_raw = av.BitStreamFilterContext("aac_adtstoasc", self.audio)

    @property
    def audio_dropped(self) -> str | None:
        """The codec of the audio that is not copied, if there is such."""
        return _codec(self.audio) if self.audio is not None and self.audio_config is None else None

    def is_video(self, packet: AnyPacket) -> bool:
        """Whether the packet is of the track that is cut."""
        return bool(packet.stream_index == self.video.index)

    def copied_audio(self, packet: AnyPacket) -> list[AnyPacket]:
        """The packet as mp4 wants it: without ADTS header; nothing when it is not of a copied track, or has no time."""
        if self.audio is None or packet.stream_index != self.audio.index or packet.pts is None or not packet.size:
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
        video = output.add_stream_from_template(self.video)
        video.codec_context.codec_tag = VIDEO[_codec(self.video)]
        if self.audio is None or not self.audio_config:
            return video, None
        audio = output.add_stream_from_template(self.audio)
        audio.codec_context.extradata = self.audio_config
        audio.codec_context.bit_rate = audio_bit_rate
        return video, audio


def _codec(stream: Any) -> str:
    # PyAV has no context for a codec that its FFmpeg cannot decode.
    return str(stream.codec_context.name) if stream.codec_context is not None else "unknown"


def _video_of(container: InputContainer, name: str) -> Any:
    stream = next((each for each in container.streams.video if not each.disposition & Disposition.attached_pic), None)
    if stream is None:
        raise UnusableInputError("a video track", "none", name)
    if _codec(stream) not in VIDEO:
        raise UnusableInputError("H.264 or H.265 video", _codec(stream), name)
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
