"""Where packets come from: what the camera loop asks of a source, whatever its protocol."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from segmenter.tracks import AnyPacket
from sluice.errors import SluiceError


@dataclass
class SourceError(SluiceError):
    """Raised when a source gives no video now; it is tried again for ever, unless that is final."""

    reason: str
    """One of those that CameraOffline lists."""
    detail: str
    """For people; without passwords."""
    final: bool = False
    """It came to its proper end (a file that is not looped): it is not tried again."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class Connection(Protocol):
    """A source that is open. One thread reads; close() is its last call.

    Where media is fetched some seconds at a time it has an attribute `segmented` that is true.
    """

    @property
    def container(self) -> Any:
        """What SourceTracks takes: `.streams.video` and `.streams.audio` as PyAV has them."""
        ...

    @property
    def gather_s(self) -> float:
        """How long packets may gather before they are read: waking up costs more than reading. 0: read at once."""
        ...

    @property
    def transcoding(self) -> str | None:
        """As in `mjpeg -> h264`; None: it is passed through."""
        ...

    def packets(self) -> Iterator[AnyPacket]:
        """Packets as they arrive, of video and audio; ends or raises SourceError(ended, silent …) when it is over."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Source(Protocol):
    """One a camera; open() again after each end, at once where it has an attribute `awaits_its_camera` that is true."""

    def open(self) -> Connection:
        """Connect and find the tracks, in bounded time; raises SourceError. A push source waits for its camera."""
        ...

    def interrupt(self) -> None:
        """From another thread, for good: open() and packets() end as soon as the library allows."""
        ...
