"""An object store in memory that passes the contract of the real one."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import quote

from sluice.errors import ConflictError, ObjectNotFoundError, UnavailableError
from sluice.storable import checked_key, checked_metadata, checked_range, ends_before, too_large
from sluice.store import ListedObject, StoredObject


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class MemoryStore:
    """The bucket as a dictionary; `down` plays a store that does not answer, `now` dates what is written."""

    down: bool = False
    now: Callable[[], datetime] = _now
    _objects: dict[str, tuple[StoredObject, datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str, *, first: int = 0, last: int | None = None, limit: int | None = None) -> StoredObject:
        """See ObjectStore.get."""
        checked_range(first, last)
        checked_key(key)
        with self._answering():
            if key not in self._objects:
                raise ObjectNotFoundError(key)
            whole, _ = self._objects[key]
        if first >= len(whole.body) and (first or last is not None):
            raise ends_before(key, first)
        body = whole.body[first : None if last is None else last + 1]
        if limit is not None and len(body) > limit:
            raise too_large(key, len(body), limit)
        return replace(whole, body=body, metadata=dict(whole.metadata))

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """See ObjectStore.put."""
        named = checked_metadata(metadata)
        checked_key(key)
        with self._answering():
            return self._write(key, body, content_type, metadata=named)

    def create(self, key: str, body: bytes, *, content_type: str = "application/json", cache_control: str = "") -> str:
        """See ObjectStore.create."""
        checked_key(key)
        with self._answering():
            if key in self._objects:
                raise ConflictError(key, "no object")
            return self._write(key, body, content_type, cache_control=cache_control)

    def replace(
        self, key: str, body: bytes, *, etag: str, content_type: str = "application/json", cache_control: str = ""
    ) -> str:
        """See ObjectStore.replace."""
        checked_key(key)
        with self._answering():
            if key not in self._objects or self._objects[key][0].etag != etag:
                raise ConflictError(key, f"etag {etag}")
            return self._write(key, body, content_type, cache_control=cache_control)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See ObjectStore.list; shows what was there when it began."""
        with self._answering():
            found = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
            listed = [self._objects[key] for key in found]
        for each, modified in listed:
            yield ListedObject(key=each.key, size_bytes=len(each.body), etag=each.etag, modified=modified)

    def folders(self, parent: str) -> Iterator[str]:
        """See ObjectStore.folders; shows what was there when it began."""
        with self._answering():
            below = (key.removeprefix(parent) for key in self._objects if key.startswith(parent))
            found = sorted({f"{parent}{key.partition('/')[0]}/" for key in below if "/" in key})
        yield from found

    def delete(self, keys: Sequence[str]) -> None:
        """See ObjectStore.delete."""
        for key in keys:
            checked_key(key)
        with self._answering():
            for key in keys:
                self._objects.pop(key, None)

    def presign(self, key: str, *, expires_s: int = 3600) -> str:
        """See ObjectStore.presign; nothing serves this URL."""
        return f"memory://bucket/{quote(checked_key(key))}?expires={expires_s}"

    def _answering(self) -> threading.Lock:
        if self.down:
            raise UnavailableError("store", "the test has taken it down")
        return self._lock

    def _write(
        self,
        key: str,
        body: bytes,
        content_type: str,
        *,
        metadata: Mapping[str, str] | None = None,
        cache_control: str = "",
    ) -> str:
        etag = hashlib.md5(body, usedforsecurity=False).hexdigest()  # as S3 does: the same body has the same etag
        written = StoredObject(
            key=key,
            body=body,
            etag=etag,
            metadata=metadata or {},
            content_type=content_type,
            cache_control=cache_control,
        )
        self._objects[key] = (written, self.now())
        return etag
