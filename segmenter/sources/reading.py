"""What brings the bytes of a camera."""

from typing import Protocol

from segmenter.source import SourceError


class Reader(Protocol):
    """As a file."""

    @property
    def failure(self) -> SourceError | None:
        """Why it ended, where that was not in order."""
        ...

    def read(self, most: int, /) -> bytes:
        """At most *most*, as soon as there are some; b"" at the end. May raise SourceError as well."""
        ...
