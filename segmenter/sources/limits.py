"""What a source may ask of us, whatever its protocol."""

from typing import Final

from av.container import InputContainer

from segmenter.source import SourceError

MOST_STREAMS: Final = 8
LONGEST_SIDE: Final = 8192
MOST_PIXELS: Final = 40_000_000


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
