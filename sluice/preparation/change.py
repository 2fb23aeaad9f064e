"""One difference between what is and what is wanted."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What differs, in a sentence, and how to mend it."""

    sentence: str
    make: Callable[[], object]
