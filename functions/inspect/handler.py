"""The camera doctor looks at a session's first chunk.

in    ChunkStored (activity: opening)
out   ChunkInspected, or InputRejected when the chunk cannot be read
"""

from functools import partial
from typing import Any, Final

from sluice import telemetry
from sluice.bus import Bus
from sluice.contracts.chunk import ChunkInspected, ChunkRef, ChunkStored
from sluice.contracts.envelope import Event
from sluice.examination import examine
from sluice.once import answer_once
from sluice.store import ObjectStore
from sluice.video import probe

FUNCTION: Final = "inspect"
_LONGEST_CODEC: Final = 40


def handle(event: Event[ChunkStored], *, store: ObjectStore, bus: Bus) -> Event[Any] | None:
    """Say what the camera sends, and what could be better about it."""
    # Only the segmenter knows what it left out. Metadata is anybody's text, so it is kept short.
    dropped = event.data.metadata.get("audio-dropped", "")[:_LONGEST_CODEC] or None
    return answer_once(event, partial(inspected, audio_dropped=dropped), function=FUNCTION, store=store, bus=bus)


def inspected(chunk: ChunkRef, body: bytes, *, audio_dropped: str | None = None) -> ChunkInspected:
    """The findings in one chunk; raises UnusableInputError when it cannot be read."""
    with telemetry.stage("probe"):
        found = probe(body, where=chunk.key)
    video, audio, advice = examine(found, audio_dropped=audio_dropped)
    return ChunkInspected(chunk=chunk, video=video, audio=audio, advice=advice)
