"""What a source may ask of us, whatever its protocol."""

from typing import Final

from av.container import InputContainer

from segmenter.source import SourceError

MOST_STREAMS: Final = 8
LONGEST_SIDE: Final = 8192
MOST_PIXELS: Final = 40_000_000
DECODED: Final = (
    "aac,aac_latm,ac3,eac3,mp2,mp2float,mp3,mp3float,opus,pcm_alaw,pcm_mulaw,pcm_s16be,adpcm_g722,adpcm_g726"
)
"""For the option codec_whitelist: what the library may decode while it looks for tracks. Of video the parsers say
enough; one decoded picture of 16k a side would take 400 MB."""


def check_limits(container: InputContainer) -> None:
    """Raise SourceError if it has more tracks or larger pictures than any camera."""
    found = len(container.streams)
    if found > MOST_STREAMS:
        raise SourceError("too-large", f"expected at most {MOST_STREAMS} streams, found {found}")
    for video in container.streams.video:
        width, height = (video.width, video.height) if video.codec_context is not None else (0, 0)
        if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
            raise SourceError(
                "too-large",
                f"expected pictures of at most {LONGEST_SIDE} a side and {MOST_PIXELS} pixels, found {width}x{height}",
            )
