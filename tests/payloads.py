"""What packets carry, as hashes that are the same in Annex B and in mp4, with ADTS and without; and frame numbers."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from segmenter.strip import read_strip

_RECOVERY_POINT = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Payloads:
    """The packets of a stream in decoding order, a hash each."""

    video: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()

    def __add__(self, other: "Payloads") -> "Payloads":
        return Payloads(video=self.video + other.video, audio=self.audio + other.audio)


def payloads_of(file: bytes | Path) -> Payloads:
    """The packets of a file that FFmpeg opens."""
    with av.open(io.BytesIO(file) if isinstance(file, bytes) else file, "r") as container:
        video, audio = _first(container.streams.video), _first(container.streams.audio)
        tracks = [track for track in (video, audio) if track is not None]
        found = dict[int, list[str]]({track.index: [] for track in tracks})
        for packet in container.demux(tracks):
            if packet.size:
                found[packet.stream_index].append(_digest(packet, length_size=length_size_of(packet.stream)))
        return Payloads(
            video=tuple(found[video.index]) if video else (), audio=tuple(found[audio.index]) if audio else ()
        )


def assert_gapless_part_of(source: Sequence[str], stored: Sequence[str], *, looped: bool = False, what: str) -> None:
    """Between the first and the last stored packet none is lost, doubled or out of order; *looped*: as a cycle."""
    assert source, f"{what}: the source has no packets"
    assert stored, f"{what}: nothing was stored"
    assert looped or len(stored) <= len(source), f"{what}: {len(stored)} packets of a source of {len(source)}"
    endless = list(source) * (len(stored) // len(source) + 2) if looped else list(source)
    # Equal packets, as of silence, are found at several places: one of these must fit.
    starts = [at for at, each in enumerate(source) if each == stored[0]]
    assert starts, f"{what}: the first stored packet is none of the source's"
    reach = {start: _alike(endless[start:], stored) for start in starts}
    start, alike = max(reach.items(), key=lambda each: each[1])
    assert alike == len(stored), (
        f"{what}: packet {alike} of {len(stored)} is {_told(source, stored[alike])}, "
        f"expected the source's {(start + alike) % len(source)}"
    )


def frame_numbers(file: bytes) -> list[int]:
    """The numbers that the test pattern's pictures show, in the order in which they are shown."""
    with av.open(io.BytesIO(file), "r") as container:
        shown = (frame.to_ndarray(format="gray") for frame in container.decode(video=0))
        return [read_strip(np.asarray(each, dtype=np.uint8)).number for each in shown]


def slices(payload: bytes, codec: str, *, length_size: int | None) -> bytes:
    """What is picture in a packet: no parameter sets, delimiters or SEI, which muxers move about, and no lengths."""
    return b"".join(unit for unit in _units(payload, length_size) if unit and _is_slice(unit, codec))


def opens(payload: bytes, codec: str, *, length_size: int | None) -> bool:
    """Whether decoding may begin with this packet, by its own units, whatever the container says of it."""
    units = [unit for unit in _units(payload, length_size) if unit]
    if codec == "hevc":
        return any(16 <= unit[0] >> 1 & 0x3F <= 21 for unit in units)
    return any(unit[0] & 31 == 5 or (unit[0] & 31 == 6 and _RECOVERY_POINT in _sei_types(unit)) for unit in units)


def _sei_types(unit: bytes) -> Iterator[int]:
    """ITU-T H.264, 7.3.2.3."""
    at = 1
    while at + 2 < len(unit):
        numbers = []
        for _ in range(2):
            number = 0
            while at < len(unit) and unit[at] == 0xFF:
                number, at = number + 255, at + 1
            numbers.append(number + (unit[at] if at < len(unit) else 0))
            at += 1
        yield numbers[0]
        at += numbers[1]


def _digest(packet: Any, *, length_size: int | None) -> str:
    payload, codec = bytes(packet), packet.stream.codec_context.name
    if codec == "aac" and payload[0] == 0xFF and payload[1] & 0xF6 == 0xF0:
        payload = payload[7 if payload[1] & 1 else 9 :]  # ADTS, without and with its checksum
    elif codec in ("h264", "hevc"):
        payload = slices(payload, codec, length_size=length_size)
    return hashlib.sha256(payload).hexdigest()[:16]


def length_size_of(stream: Any) -> int | None:
    """None where start codes part the units."""
    record, codec = stream.codec_context.extradata or b"", stream.codec_context.name
    if record[:1] != b"\1" or codec not in ("h264", "hevc"):
        return None
    return (record[21 if codec == "hevc" else 4] & 3) + 1


def _is_slice(unit: bytes, codec: str) -> bool:
    return 1 <= unit[0] & 31 <= 5 if codec == "h264" else unit[0] >> 1 & 0x3F < 32


def _units(payload: bytes, length_size: int | None) -> Iterator[bytes]:
    for unit in _sized(payload, length_size) if length_size else payload.split(b"\0\0\1")[1:]:
        # A unit ends with a 1 bit. Zeros are the next start code's, and encoders fill up with words of 00 00 03
        # (ITU-T H.264, 7.3.2.10), which some muxers leave out.
        end = unit.rstrip(b"\0")
        while end.endswith(b"\0\0\3"):
            end = end[:-3].rstrip(b"\0")
        yield end


def _sized(payload: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(payload):
        size = int.from_bytes(payload[at : at + length_size], "big")
        at += length_size
        yield payload[at : at + size]
        at += size


def _first(streams: Any) -> Any:
    return next(iter(streams), None)


def _alike(source: Sequence[str], stored: Sequence[str]) -> int:
    pairs = enumerate(zip(source, stored, strict=False))
    return next((at for at, (mine, theirs) in pairs if mine != theirs), min(len(source), len(stored)))


def _told(source: Sequence[str], packet: str) -> str:
    return f"the source's {source.index(packet)}" if packet in source else "none of the source's"
