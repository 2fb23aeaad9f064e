"""What is opened of a source: one picture and its sound, within limits, whatever else it offers."""

from dataclasses import dataclass
from typing import Any

from av.stream import Discard, Disposition

from segmenter.source import SourceError
from segmenter.sources.limits import check_limits
from sluice.address import SourceAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenStreams:
    """As a container's."""

    video: tuple[Any, ...]
    audio: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.video) + len(self.audio)


class Chosen:
    """A container that shows one picture and its sound."""

    def __init__(self, container: Any, address: SourceAddress) -> None:
        """Raises SourceError when there is no picture, or one too large."""
        if container.format.name != "hls":
            # Of a playlist each variant is a picture of its own.
            check_limits(container)
        pictures = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
        if not pictures:
            kinds = ", ".join(sorted({each.type for each in container.streams}))
            reason = "unsupported" if kinds else "garbage"
            raise SourceError(reason, f"{address.shown}: expected a video track, found {kinds or 'no track at all'}")
        self.video: Any = max(pictures, key=_pixels)
        if self.video.codec_context is not None and self.video.codec_context.name == "mjpeg" and not self.video.width:
            found = "none that is whole and of a size that is let in"
            raise SourceError("garbage", f"{address.shown}: expected pictures, found {found}")
        self.audio: Any | None = min(container.streams.audio, key=self._distance, default=None)
        self.streams = ChosenStreams(video=(self.video,), audio=(self.audio,) if self.audio else ())
        check_limits(self)  # type: ignore[arg-type]  # all that it looks at is streams
        for each in container.streams:
            if each not in (self.video, self.audio):
                # Else all variants of a playlist are fetched.
                each.discard = Discard.all

    def _distance(self, audio: Any) -> int:
        """Sound follows its picture: of a playlist's variants, the next is the one that belongs to it."""
        after = int(audio.index - self.video.index)
        return after if after > 0 else 1_000 - after


def _pixels(video: Any) -> int:
    return int(video.width * video.height) if video.codec_context is not None else 0
