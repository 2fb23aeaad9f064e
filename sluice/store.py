"""The object store: the port, and S3Store for any S3 server."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object with its body."""

    key: str
    body: bytes
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """User metadata; lower-case keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedObject:
    """An object as a listing shows it."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime


class ObjectStore(Protocol):
    """What every part may do with the bucket. One bucket: its name is the adapter's business.

    Every method raises UnavailableError when the store does not answer, in bounded time.
    """

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """The object, or its bytes first..last inclusive; raises ObjectNotFoundError.

        With *limit*, an object larger than that many bytes raises UnusableInputError instead of filling memory.
        """
        ...

    def put(
        self, key: str, body: bytes, *, content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Write the object whatever was there; returns its etag."""
        ...

    def create(self, key: str, body: bytes, *, content_type: str = "application/json") -> str:
        """Write the object only if there is none; raises ConflictError. Returns its etag."""
        ...

    def replace(self, key: str, body: bytes, *, etag: str, content_type: str = "application/json") -> str:
        """Write the object only if it is still the one with *etag*; raises ConflictError, also when it is gone."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Objects under *prefix* whose key sorts after *after*, in order of key; pages are fetched as they are read."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects; those that are not there are no error."""
        ...

    def presign(self, key: str, *, expires_s: int = 3600) -> str:
        """A URL that reads the object without credentials until it expires."""
        ...
