"""Frames out of a chunk: decoded once for every model that wants them, scaled for each, in batches of bounded size."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sluice.errors import UnusableInputError
from sluice.sampling import Shown, needed, picked
from sluice.video import MAX_PACKETS, MAX_PIXELS, opened

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av.video.frame import VideoFrame

SHRUNK: Final = 2
"""Times that a picture is made smaller, from which on H.264's loop filter is left out: the edges of blocks that it
smooths are gone then, and it is a fifth of the work. (docs/measured.md: as much is found, and as much is right.)"""
UNFILTERED: Final = 100
"""Frames from keyframe to keyframe that this goes well for; each adds its part to what the next are made of."""
MAX_SECONDS: Final = 60.0
"""Longest that one chunk may keep the decoder busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What one model is to see."""

    model: str
    fps: float
    long_side: int
    """Larger pictures are scaled down to it."""
    max_batch: int = 8
    keyframes_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Frames of one size for one model, in the order they are shown."""

    model: str
    frames: "npt.NDArray[np.uint8]" = field(repr=False)
    """[N, height, width, 3], RGB."""
    offsets_ms: tuple[int, ...]
    """Of each, since the chunk's start."""


class Sampler:
    """Iterate it once for the batches; after that it knows what the chunk was like."""

    def __init__(
        self,
        body: bytes,
        *,
        where: str,
        start_ms: int,
        duration_ms: int,
        wants: Sequence[Want],
        max_batch_bytes: int,
        threads: int = 1,
    ) -> None:
        self.width = self.height = 0
        self.whole = True
        """False: what was wanted could not all be decoded."""
        self.held = 0
        """Frames of the chunk, looked at or not."""
        self.decoded = 0
        self.decode_s = 0.0
        self._body, self._where, self._wants = body, where, wants
        self._start_ms, self._end_ms = start_ms, start_ms + duration_ms
        self._max_batch_bytes, self._threads = max_batch_bytes, threads

    def __iter__(self) -> Iterator[Batch]:
        """Decode; raises UnusableInputError when no frame that is wanted comes out."""
        with opened(self._body, where=self._where) as (container, stream):
            self.width, self.height = stream.width, stream.height
            packets = self._packets(container, stream)
            self.held = len(packets)
            frames = _shown(packets, stream, self._start_ms)
            wanted = {
                want.model: picked(frames, end_ms=self._end_ms, fps=want.fps, keyframes_only=want.keyframes_only)
                for want in self._wants
            }
            union: set[int] = set().union(*wanted.values())
            at = {each.pts: round(each.at_ms - self._start_ms) for each in frames}
            trays = [_Tray(want, wanted[want.model], self._max_batch_bytes) for want in self._wants]
            kept = [packet for packet, need in zip(packets, needed(frames, union), strict=True) if need]
            yield from self._decoded(stream, kept, trays, at, union)

    def _packets(self, container: Any, stream: Any) -> list[Any]:
        import av

        found: list[Any] = []
        try:
            for packet in container.demux(stream):
                if len(found) > MAX_PACKETS:
                    raise UnusableInputError(f"at most {MAX_PACKETS} packets", "more", self._where)
                if packet.is_corrupt:
                    self.whole = False
                elif packet.pts is not None and packet.size:
                    found.append(packet)
        except av.error.FFmpegError:
            self.whole = False
        if not found:
            raise UnusableInputError("at least one whole frame", "none", self._where)
        return found

    def _decoded(
        self, stream: Any, packets: list[Any], trays: "list[_Tray]", at: dict[int, int], union: set[int]
    ) -> Iterator[Batch]:
        context = stream.codec_context
        context.options = {"max_pixels": str(MAX_PIXELS), **self._shortcuts(context, packets)}
        context.thread_count, context.thread_type = self._threads, "AUTO"
        missing, deadline = set(union), time.monotonic() + MAX_SECONDS
        for frame in self._frames(context, packets, deadline):
            if frame.pts not in missing:
                continue
            missing.discard(frame.pts)
            self.decoded += 1
            for tray in trays:
                if frame.pts in tray.wanted:
                    began = time.perf_counter()
                    full = tray.add(frame, at[frame.pts])
                    self.decode_s += time.perf_counter() - began
                    if full is not None:
                        yield full
        # Of a chunk shorter than the time between two instants none may be wanted: the camera was being switched off.
        if union and missing == union:
            raise UnusableInputError("video that can be decoded", "no frame of it", self._where)
        self.whole = self.whole and not missing
        for tray in trays:
            last = tray.emptied()
            if last is not None:
                yield last

    def _shortcuts(self, context: Any, packets: list[Any]) -> dict[str, str]:
        shrunk = all(max(self.width, self.height) >= SHRUNK * want.long_side for want in self._wants)
        keyframes = [index for index, packet in enumerate(packets) if packet.is_keyframe]
        longest = max(end - start for start, end in pairwise([0, *keyframes, len(packets)]))
        fits = context.codec.canonical_name == "h264" and shrunk and longest <= UNFILTERED
        return {"skip_loop_filter": "nokey"} if fits else {}

    def _frames(self, context: Any, packets: list[Any], deadline: float) -> Iterator["VideoFrame"]:
        import av

        for packet in [*packets, None]:
            if time.monotonic() > deadline:
                self.whole = False
                return
            began = time.perf_counter()
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError:
                self.whole = False  # what follows may be fine
                frames = []
            self.decode_s += time.perf_counter() - began
            yield from frames


class _Tray:
    """Frames of one model that wait for their batch to be full."""

    def __init__(self, want: Want, wanted: set[int], max_bytes: int) -> None:
        self.wanted = wanted
        self._want, self._max_bytes = want, max_bytes
        self._frames: list[Any] = []
        self._offsets: list[int] = []
        self._scaler: Any = None

    def add(self, frame: "VideoFrame", offset_ms: int) -> Batch | None:
        """Scale it and keep it; the batch that is full with it, or that it does not fit into."""
        from av.video.reformatter import VideoReformatter

        if self._scaler is None:
            self._scaler = VideoReformatter()
        width, height = scaled(frame.width, frame.height, self._want.long_side)
        small = self._scaler.reformat(frame, width, height, "rgb24", interpolation="AREA").to_ndarray()
        before = self.emptied() if self._frames and self._frames[0].shape != small.shape else None
        self._frames.append(small)
        self._offsets.append(offset_ms)
        most = max(1, min(self._want.max_batch, self._max_bytes // max(1, small.nbytes)))
        return self.emptied() if before is None and len(self._frames) >= most else before

    def emptied(self) -> Batch | None:
        """What it holds, if anything."""
        import numpy as np

        if not self._frames:
            return None
        batch = Batch(model=self._want.model, frames=np.stack(self._frames), offsets_ms=tuple(self._offsets))
        self._frames, self._offsets = [], []
        return batch


def scaled(width: int, height: int, long_side: int) -> tuple[int, int]:
    """The size that fits *long_side*; a smaller picture stays as it is."""
    longest = max(width, height)
    if longest <= long_side:
        return width, height
    return max(1, round(width * long_side / longest)), max(1, round(height * long_side / longest))


def _shown(packets: Sequence[Any], stream: Any, start_ms: int) -> list[Shown]:
    first = min(packet.pts for packet in packets)
    tick_ms = Fraction(stream.time_base) * 1000
    codec, length_size = stream.codec_context.codec.canonical_name, _length_size(stream)
    return [
        Shown(
            pts=packet.pts,
            at_ms=start_ms + float((packet.pts - first) * tick_ms),
            keyframe=packet.is_keyframe,
            reference=packet.is_keyframe or _is_reference(packet, codec, length_size),
        )
        for packet in packets
    ]


def _length_size(stream: Any) -> int:
    record = bytes(stream.codec_context.extradata or b"")
    at = 21 if stream.codec_context.codec.canonical_name == "hevc" else 4
    return (record[at] & 3) + 1 if len(record) > at else 4


def _is_reference(packet: Any, codec: str, length_size: int) -> bool:
    """What the first slice says of itself; in doubt it is one."""
    data, at = memoryview(packet), 0
    while at + length_size < len(data):
        size, head = int.from_bytes(data[at : at + length_size], "big"), data[at + length_size]
        if codec == "h264" and 1 <= head & 0x1F <= 5:
            return bool(head & 0x60)  # nal_ref_idc, ISO/IEC 14496-10, 7.4.1
        if codec == "hevc" and (kind := head >> 1 & 0x3F) < 32:
            return kind > 14 or kind % 2 == 1  # sub-layer non-reference pictures are even, ISO/IEC 23008-2, table 7-1
        at += length_size + size
    return True
