"""What a fragment of mp4 says of its samples, per track (ISO/IEC 14496-12, 8.8)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sluice.boxes import Box, find, within

_NON_SYNC = 0x10000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The samples of one track in one chunk, in the track's timescale."""

    start: int
    end: int
    shown: int
    """How long its pictures last: one that came ahead of pictures shown before it may be a chunk's last."""
    timescale: int
    is_video: bool
    is_sync: bool
    """What is said of the first sample."""


def runs(init: bytes, media: bytes) -> list[Run]:
    """Of each track."""
    tracks = list(find(init, "moov/trak"))
    return [_run(init, media, traf, tracks) for traf in find(media, "moof/traf")]


def _run(init: bytes, media: bytes, traf: Box, tracks: Sequence[Box]) -> Run:
    """ISO/IEC 14496-12, 8.8.7, 8.8.8 and 8.8.12."""
    inside = {box.kind: box for box in within(media, traf)}
    track_id, fallback, flags = _fragment_header(media, inside[b"tfhd"])
    (start,) = struct.unpack_from(">Q", media, inside[b"tfdt"].body + 4)
    samples = list(_samples(media, inside[b"trun"], fallback))
    durations = [duration for duration, _ in samples]
    times = list(accumulate(durations, initial=0))
    ends = [time + moved + duration for time, (duration, moved) in zip(times, samples, strict=False)]
    sync = not _first_flags(media, inside[b"trun"], flags) & _NON_SYNC
    track = tracks[track_id - 1]
    mdia = next(box for box in within(init, track) if box.kind == b"mdia")
    boxes_of = {box.kind: box for box in within(init, mdia)}
    (timescale,) = struct.unpack_from(">I", init, boxes_of[b"mdhd"].body + 12)
    kind = init[boxes_of[b"hdlr"].body + 8 : boxes_of[b"hdlr"].body + 12]
    return Run(
        start=start,
        end=start + times[-1],
        shown=max(ends) - samples[0][1],
        timescale=timescale,
        is_video=kind == b"vide",
        is_sync=sync,
    )


def _fragment_header(data: bytes, box: Box) -> tuple[int, int, int]:
    """Track id, and duration and flags of samples that have none of their own."""
    flags, track_id = struct.unpack_from(">II", data, box.body)
    at = box.body + 8 + 8 * bool(flags & 1) + 4 * bool(flags & 2)
    defaults = [0, 0]
    for bit, which in ((0x8, 0), (0x10, None), (0x20, 1)):
        if flags & bit:
            if which is not None:
                (defaults[which],) = struct.unpack_from(">I", data, at)
            at += 4
    return track_id, defaults[0], defaults[1]


def _samples_at(data: bytes, box: Box) -> tuple[int, int]:
    """The flags of a trun, and where its samples begin."""
    (flags,) = struct.unpack_from(">I", data, box.body)
    return flags, box.body + 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)


def _samples(data: bytes, box: Box, fallback: int) -> Iterator[tuple[int, int]]:
    """Of each its duration, and how much later than decoded it is shown."""
    flags, at = _samples_at(data, box)
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    width = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
    for sample in (at + each * width for each in range(count)):
        duration = struct.unpack_from(">I", data, sample)[0] if flags & 0x100 else fallback
        yield duration, struct.unpack_from(">i", data, sample + width - 4)[0] if flags & 0x800 else 0


def _first_flags(data: bytes, box: Box, fallback: int) -> int:
    flags, at = _samples_at(data, box)
    if flags & 4:
        at -= 4
    elif flags & 0x400:
        at += 4 * sum(bool(flags & bit) for bit in (0x100, 0x200))
    else:
        return fallback
    found: int = struct.unpack_from(">I", data, at)[0]
    return found
