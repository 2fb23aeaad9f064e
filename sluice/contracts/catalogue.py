"""Every contract that is the data of an event."""

from typing import Any, Final

from sluice.contracts.camera import CameraOffline, CameraOnline, ChunksDropped
from sluice.contracts.chunk import ChunkInspected, ChunkStored
from sluice.contracts.detection import ObjectsDetected
from sluice.contracts.playlist import PlaylistUpdated
from sluice.contracts.rejection import InputRejected

EVENTS: Final[tuple[type[Any], ...]] = (
    ChunkStored,
    ChunkInspected,
    ObjectsDetected,
    PlaylistUpdated,
    InputRejected,
    CameraOnline,
    CameraOffline,
    ChunksDropped,
)
