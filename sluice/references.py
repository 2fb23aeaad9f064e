"""A chunk's name as the reference that events carry."""

from datetime import UTC, datetime

from sluice.contracts.chunk import ChunkRef
from sluice.names import ChunkName


def reference(name: ChunkName, *, bucket: str, size_bytes: int | None = None, etag: str | None = None) -> ChunkRef:
    """The reference to the object of this name."""
    return ChunkRef(
        bucket=bucket,
        key=name.key,
        camera=name.camera,
        start=datetime.fromtimestamp(name.start_ms / 1000, tz=UTC),
        duration_ms=name.duration_ms,
        session=name.session,
        seq=name.seq,
        activity=name.activity,
        init_key=name.init_key,
        size_bytes=size_bytes,
        etag=etag,
    )
