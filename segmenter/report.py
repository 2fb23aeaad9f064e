"""What a worker says of a camera each second: for health, metrics and `sluice camera list`."""

from dataclasses import dataclass, field
from typing import Final

ONLINE: Final = "online"
CONNECTING: Final = "connecting"
OFFLINE: Final = "offline"
PAUSED: Final = "paused"
FENCED: Final = "fenced"


@dataclass(slots=True, kw_only=True)
class CameraReport:
    """Numbers count since the worker took the camera."""

    camera: str
    state: str = CONNECTING
    """online, connecting, offline, paused or fenced (another segmenter has it)."""
    reason: str = ""
    """Why it is not online, as in CameraOffline."""
    detail: str = ""
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    bitrate: int = 0
    audio_dropped: str | None = None
    transcoding: str | None = None
    last_chunk_ms: int | None = None
    """End of the newest chunk that the store has, Unix milliseconds."""
    packets: int = 0
    bytes: int = 0
    connections: int = 0
    chunks: int = 0
    """Cut."""
    stored: int = 0
    spooled: int = 0
    spool_bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Chunks, by reason."""
    frames_dropped: int = 0
    frames_waiting: int = 0
    """Came before a keyframe, or after the limit of a GOP."""
    repaired: int = 0
    sound_dropped: int = 0
    pictures_skipped: int = 0
    """Of those that are encoded anew: encoding them fell behind."""
    pictures_broken: int = 0
    sound_broken: int = 0
    packets_lost: int = 0
    """Of RTP."""
    datagrams_refused: int = 0
    datagrams_broken: int = 0
    drift_ms: int = 0
    held_ms: int = 0
    sessions: int = 0
    trouble: str | None = None
    """Why the last upload failed."""
    worker: int = 0
    """Process id."""
