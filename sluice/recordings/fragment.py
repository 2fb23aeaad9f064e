"""The clock of a chunk's media part (ISO/IEC 14496-12, 8.8): where it stands, how far it runs, set to another time."""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sluice.boxes import Box, boxes, find, within
from sluice.errors import UnusableInputError

EPOCH_1904_S: Final = 2_082_844_800
"""Before 1970: what MP4 counts from."""
_MEHD_BYTES: Final = 20
_BASE_OFFSET, _DESCRIPTION, _DURATION = 0x1, 0x2, 0x8
"""Flags of tfhd: what stands before its default duration, and whether that is there."""
_OFFSET, _FIRST_FLAGS, _SAMPLE_DURATION = 0x1, 0x4, 0x100
"""Flags of trun; durations are the first of what a sample says."""
_SAMPLE_FIELDS: Final = (0x100, 0x200, 0x400, 0x800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What the init segment says of one."""

    timescale: int
    sample_duration: int
    """Where a fragment says nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One track in a fragment; times in its timescale."""

    track: int
    decode_time: int
    duration: int
    at: int
    """Where the decode time stands."""
    width: int
    """Bytes that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A moof."""

    size: int
    number_at: int
    runs: tuple[Run, ...]

    def start(self, tracks: Mapping[int, Track]) -> Fraction:
        """Seconds at which its first sample is decoded."""
        return min(Fraction(run.decode_time, tracks[run.track].timescale) for run in self.runs)


def tracks_of(init: bytes, *, where: str) -> dict[int, Track]:
    """By number, the tracks of an init segment; raises UnusableInputError."""
    with _reading("an init segment", where):
        defaults = {}
        for box in find(init, "moov/mvex/trex"):
            number, _, duration = struct.unpack_from(">III", init, box.body + 4)
            defaults[number] = duration
        found = dict(_tracks(init, defaults))
        if not found or any(track.timescale < 1 for track in found.values()):
            raise ValueError("no track with a timescale")
        return found


def read(head: bytes, tracks: Mapping[int, Track], *, where: str) -> Fragment:
    """The moof at the beginning of *head*, whole; raises UnusableInputError."""
    with _reading("a fragment of the init segment's tracks", where):
        moof = next(boxes(head), None)
        if moof is None or moof.kind != b"moof" or moof.end > len(head):
            raise ValueError("no whole moof")
        inside = list(within(head, moof))
        number = next(box for box in inside if box.kind == b"mfhd")
        runs = tuple(_run(head, box, tracks) for box in inside if box.kind == b"traf")
        if not runs:
            raise ValueError("no track")
        return Fragment(size=moof.end, number_at=number.body + 4, runs=runs)


def moved(head: bytes, fragment: Fragment, times: Mapping[int, int], *, number: int) -> bytes:
    """*head* with other decode times, by track, and another number in its sequence."""
    changed = bytearray(head)
    struct.pack_into(">I", changed, fragment.number_at, number)
    for run in fragment.runs:
        changed[run.at : run.at + run.width] = times[run.track].to_bytes(run.width, "big")
    return bytes(changed)


def lasting(init: bytes, *, duration_ms: int, start_ms: int, where: str) -> bytes:
    """*init* saying how long the fragments last together, and when they were recorded: a player shows both."""
    with _reading("an init segment", where):
        moov = next(find(init, "moov"))
        header, extends = next(find(init, "moov/mvhd")), next(find(init, "moov/mvex"))
        if init[header.body]:
            raise ValueError("a 64-bit mvhd")
        changed = bytearray(init)
        (timescale,) = struct.unpack_from(">I", init, header.body + 12)
        struct.pack_into(">I", changed, header.body + 4, start_ms // 1000 + EPOCH_1904_S & 0xFFFFFFFF)
        for box in (moov, extends):
            struct.pack_into(">I", changed, box.start, box.end - box.start + _MEHD_BYTES)
        mehd = struct.pack(">I4sIQ", _MEHD_BYTES, b"mehd", 1 << 24, duration_ms * timescale // 1000)
        changed[extends.body : extends.body] = mehd
        return bytes(changed)


def _tracks(init: bytes, defaults: Mapping[int, int]) -> Iterator[tuple[int, Track]]:
    for trak in find(init, "moov/trak"):
        (tkhd,) = (box for box in within(init, trak) if box.kind == b"tkhd")
        (mdia,) = (box for box in within(init, trak) if box.kind == b"mdia")
        (mdhd,) = (box for box in within(init, mdia) if box.kind == b"mdhd")
        # Two times stand before both, of 4 bytes each, or of 8 in version 1.
        (number,) = struct.unpack_from(">I", init, tkhd.body + (20 if init[tkhd.body] else 12))
        (timescale,) = struct.unpack_from(">I", init, mdhd.body + (20 if init[mdhd.body] else 12))
        yield number, Track(timescale=timescale, sample_duration=defaults.get(number, 0))


def _run(head: bytes, traf: Box, tracks: Mapping[int, Track]) -> Run:
    inside = list(within(head, traf))
    (tfhd,) = (box for box in inside if box.kind == b"tfhd")
    (tfdt,) = (box for box in inside if box.kind == b"tfdt")
    flags, number = struct.unpack_from(">II", head, tfhd.body)
    default = tracks[number].sample_duration
    if flags & _DURATION:
        skipped = 8 * bool(flags & _BASE_OFFSET) + 4 * bool(flags & _DESCRIPTION)
        (default,) = struct.unpack_from(">I", head, tfhd.body + 8 + skipped)
    at, width = tfdt.body + 4, 8 if head[tfdt.body] else 4
    if at + width > tfdt.end:
        raise ValueError("a short tfdt")
    duration = sum(_duration(head, box, default) for box in inside if box.kind == b"trun")
    decode_time = int.from_bytes(head[at : at + width], "big")
    return Run(track=number, decode_time=decode_time, duration=duration, at=at, width=width)


def _duration(head: bytes, trun: Box, default: int) -> int:
    flags, count = (int(each) for each in struct.unpack_from(">II", head, trun.body))
    if not flags & _SAMPLE_DURATION:
        return count * default
    first = trun.body + 8 + 4 * bool(flags & _OFFSET) + 4 * bool(flags & _FIRST_FLAGS)
    size = 4 * sum(bool(flags & each) for each in _SAMPLE_FIELDS)
    if first + count * size > trun.end:
        raise ValueError("a short trun")
    starts = range(first, first + count * size, size)
    return sum(int.from_bytes(head[at : at + 4], "big") for at in starts)


@contextmanager
def _reading(expected: str, where: str) -> Iterator[None]:
    """Whatever such bytes make of a reader is said as one error."""
    try:
        yield
    except (struct.error, ValueError, KeyError, IndexError, StopIteration) as error:
        raise UnusableInputError(expected, str(error) or type(error).__name__, where) from error
