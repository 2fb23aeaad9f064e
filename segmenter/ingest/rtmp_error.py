"""What the RTMP modules raise; the front process must not load a source's errors, as these come with FFmpeg."""

from dataclasses import dataclass

from sluice.errors import SluiceError


@dataclass
class RtmpError(SluiceError):
    """Raised when what a peer sends is not RTMP, or beyond what is allowed."""

    expected: str
    found: str

    def __str__(self) -> str:
        return f"RTMP: expected {self.expected}, found {self.found}"
