"""Input that can never be used: acknowledged, visible, and not tried again."""

from dataclasses import dataclass
from typing import ClassVar

from sluice.contracts.chunk import ChunkRef


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRejected:
    """A part could make nothing of what it was given."""

    TYPE: ClassVar[str] = "dev.sluice.input.rejected.v1"
    KIND: ClassVar[str] = "rejected"

    part: str
    """Who rejects: a function or bridge."""
    where: str
    """What is rejected: an object key, or stream and sequence of a message."""
    expected: str
    found: str
    chunk: ChunkRef | None = None
