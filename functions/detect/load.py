"""How much of a chunk is looked at when chunks wait: less and less, down to its keyframes; and all again. Pure."""

from dataclasses import dataclass
from typing import Final

STEPS: Final = ((1.0, 0.5), (2.0, 0.25))
"""From so many times *late_s* on, this share of the frames; beyond the last, keyframes alone."""
KEYFRAMES_FROM: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What a chunk gets."""

    share: float = 1.0
    """Of the frames a second that are wanted."""
    keyframes_only: bool = False


def effort(waited_s: float, *, late_s: float) -> Effort:
    """The effort for a chunk that waited so long since it was announced; *late_s* 0: always the whole."""
    if late_s <= 0 or waited_s < late_s * STEPS[0][0]:
        return Effort()
    if waited_s >= late_s * KEYFRAMES_FROM:
        return Effort(share=STEPS[-1][1], keyframes_only=True)
    return Effort(share=next(share for times, share in reversed(STEPS) if waited_s >= late_s * times))
