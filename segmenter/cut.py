"""A chunk between cutter and bucket: what it holds, and how a file holds it."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from sluice.errors import UnusableInputError
from sluice.names import ChunkName
from sluice.storable import checked_metadata

_MAGIC: Final = b"sluice-cut-1 "


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A chunk without a number: that is given at upload."""

    body: bytes
    """The object: ftyp and moov, which are the same for all of a run, one moof and its mdat."""
    init_bytes: int
    """Of ftyp and moov."""
    run: str
    """One connection to the source, so one tfdt anchor; no two runs share a session."""
    start_ms: int
    duration_ms: int
    activity: str
    """Of a session's first chunk the name says opening, whatever stands here."""
    metadata: Mapping[str, str]

    @property
    def init(self) -> bytes:
        """The init segment: ftyp and moov."""
        return self.body[: self.init_bytes]

    def name(
        self, camera: str, *, session: int, seq: int, floor_ms: int | None = None, opening: bool = False
    ) -> ChunkName:
        """Its name in *session*, starting no earlier than the floor."""
        return ChunkName(
            start_ms=self.start_ms if floor_ms is None else max(self.start_ms, floor_ms),
            duration_ms=self.duration_ms,
            session=session,
            seq=seq,
            activity="opening" if opening else self.activity,
            init=sha256(self.init).hexdigest()[:8],
            camera=camera,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    run: str
    start_ms: int
    duration_ms: int
    activity: str
    metadata: dict[str, str]
    init_bytes: int
    media_bytes: int


def rendered(cut: Cut) -> list[bytes]:
    """The pieces of the file of a cut; raises InvalidNameError or ValueError for one that no store would take."""
    cut.name("any", session=0, seq=0)
    head = _Head(
        run=cut.run,
        start_ms=cut.start_ms,
        duration_ms=cut.duration_ms,
        activity=cut.activity,
        metadata=checked_metadata(cut.metadata),
        init_bytes=cut.init_bytes,
        media_bytes=len(cut.body) - cut.init_bytes,
    )
    return [_MAGIC, msgspec.json.encode(head), b"\n", cut.body]


def parsed(file: bytes, where: str) -> Cut:
    """The cut of a file; raises UnusableInputError unless it is whole."""
    end = file.find(b"\n")
    line, body = (file[:end], file[end + 1 :]) if end >= 0 else (file, b"")
    try:
        head = msgspec.json.decode(line.removeprefix(_MAGIC), type=_Head)
    except msgspec.DecodeError as error:
        raise UnusableInputError("a spooled chunk", repr(file[:40]), where) from error
    if len(body) != head.init_bytes + head.media_bytes:
        raise UnusableInputError(f"{head.init_bytes + head.media_bytes} bytes", f"{len(body)} bytes", where)
    return Cut(
        body=body,
        init_bytes=head.init_bytes,
        run=head.run,
        start_ms=head.start_ms,
        duration_ms=head.duration_ms,
        activity=head.activity,
        metadata=head.metadata,
    )
