"""The object store: the port, and S3Store for any S3 server (docs/adr/0002-one-s3-client.md)."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sluice.errors import UnavailableError
from sluice.s3 import answers
from sluice.s3.connection import Connection
from sluice.settings import StoreSettings
from sluice.storable import checked_key, checked_metadata, checked_range


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object with its body."""

    key: str
    body: bytes
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """User metadata; lower-case keys."""
    content_type: str = ""
    cache_control: str = ""
    """What HTTP caches may do with it; empty when nobody said."""


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
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Write the object whatever was there; returns its etag."""
        ...

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """Write the object only if there is none; raises ConflictError. Returns its etag."""
        ...

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """Write the object only if it is still the one with *etag*; raises ConflictError, also when it is gone."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Objects under *prefix* whose key sorts after *after*, in order of key; pages are fetched as they are read."""
        ...

    def folders(self, parent: str) -> Iterator[str]:
        """The folders right under *parent*, which ends with a slash, in order; what is in them is not listed."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects; those that are not there are no error."""
        ...

    def presign(self, key: str, *, expires_s: int = 3600) -> str:
        """A URL that reads the object without credentials until it expires."""
        ...


class S3Store:
    """One bucket of any S3 server; needs no more rights than each call names, and never asks for the bucket itself."""

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket = settings.bucket
        self._timeout_s = settings.timeout_s
        self._connection = Connection(settings)

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get; with a range, the limit is on the bytes asked for."""
        checked_range(first, last)
        ranged = {"Range": f"bytes={first}-{'' if last is None else last}"} if first or last is not None else {}
        deadline = time.monotonic() + self._timeout_s
        with self._connection.translated("get", checked_key(key), first=first):
            answer = self._connection.client().get_object(self._bucket, key, request_headers=ranged)
            try:
                body = answers.read(answer, key, limit=limit, deadline=deadline)
            finally:
                answer.close()  # read to its end, its connection is in the pool again and stays open
        return StoredObject(
            key=key,
            body=body,
            etag=answers.etag(answer),
            metadata=answers.metadata(answer),
            content_type=str(answer.headers.get("content-type", "")),
            cache_control=str(answer.headers.get("cache-control", "")),
        )

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See ObjectStore.put; metadata is printable ASCII under lower-case names, anything else a ValueError.

        Metadata `sha256` is the body's; it is signed, so the store refuses a body that is another.
        """
        named = checked_metadata(metadata)
        told = {"Content-Type": content_type, **answers.headers(named)}
        with self._connection.translated("put", checked_key(key)):
            return self._connection.put(key, body, told, sha256=named.get("sha256"))

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        told = answers.body_headers(content_type, cache_control)
        with self._connection.translated("create", checked_key(key), expected="no object"):
            return self._connection.put_if({"If-None-Match": "*"}, key, body, told)

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        told = answers.body_headers(content_type, cache_control)
        with self._connection.translated("replace", checked_key(key), expected=f"etag {etag}"):
            return self._connection.put_if({"If-Match": f'"{etag}"'}, key, body, told)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list."""
        with self._connection.translated("list", prefix):
            found = self._connection.client().list_objects(self._bucket, prefix, recursive=True, start_after=after)
        while True:
            with self._connection.translated("list", prefix):
                each = next(found, None)
            if each is None:
                return
            yield ListedObject(key=each.object_name, size_bytes=each.size, etag=each.etag, modified=each.last_modified)

    def folders(self, parent: str) -> Iterator[str]:
        """See ObjectStore.folders; a thousand a request."""
        with self._connection.translated("list", parent):
            found = self._connection.client().list_objects(self._bucket, parent)
        while True:
            with self._connection.translated("list", parent):
                each = next(found, None)
            if each is None:
                return
            if each.is_dir:
                yield str(each.object_name)

    def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore.delete; goes on to the end and then raises if any is left."""
        doomed = [checked_key(key) for key in keys]
        if not doomed:
            return
        with self._connection.translated("delete", doomed[0]):
            left = self._connection.delete(doomed)
        if left:
            raise UnavailableError("store", f"{len(left)} of {len(doomed)} objects not deleted, the first: {left[0]}")

    def presign(self, key: str, *, expires_s: int = 3600) -> str:
        """See ObjectStore.presign; asks nothing of the server, so it works for absent keys and without rights, too."""
        lifetime = timedelta(seconds=expires_s)
        return str(self._connection.client().presigned_get_object(self._bucket, checked_key(key), expires=lifetime))

    def close(self) -> None:
        """Close what is idle; the next call connects again."""
        self._connection.close()
