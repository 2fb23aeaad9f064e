"""Whether a camera that another segmenter took over may be taken back."""

from typing import Final

from segmenter.numbering import newest_end_ms
from sluice.store import ObjectStore

SILENT_S: Final = 90.0
"""Three of the longest chunks: who has put none for so long records no more."""


def is_free(store: ObjectStore, camera: str, *, now_ms: int, silent_s: float = SILENT_S) -> bool:
    """Whether the newest chunk is older than *silent_s*; raises UnavailableError."""
    return now_ms - newest_end_ms(store, camera) > silent_s * 1000
