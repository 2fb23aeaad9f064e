"""FLV written tag by tag (Adobe's video file format, annex E), with whatever time one likes."""

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from segmenter.pattern import pattern_clip
from tests.transport_stream import HZ, Picture

MS: Final = 90
"""Ticks of a picture's times in a millisecond."""
_HEAD: Final = b"FLV\x01\x01\x00\x00\x00\x09\x00\x00\x00\x00"
_AVC_KEY, _AVC, _VIDEO = 0x17, 0x27, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class FlvClip:
    """Pictures as mp4 has them, in decoding order, and their parameter sets."""

    sets: bytes
    pictures: tuple[Picture, ...]


@cache
def flv_clip(*, seconds: float, bf: int = 0) -> FlvClip:
    """Of the test pattern; times in 90 kHz, decoding from 0 on."""
    import av

    clip = pattern_clip(size=(320, 180), gop=25, bf=bf, seconds=seconds)
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        packets: list[Any] = [each for each in container.demux(stream) if each.size]
        first, ticks = packets[0].dts, float(stream.time_base or 1) * HZ
        sets = bytes(stream.codec_context.extradata or b"")
        return FlvClip(
            sets=sets,
            pictures=tuple(
                Picture(
                    data=bytes(each),
                    keyframe=each.is_keyframe,
                    pts=round((each.pts - first) * ticks),
                    dts=round((each.dts - first) * ticks),
                )
                for each in packets
            ),
        )


class FlvStream:
    """One video track."""

    def __init__(self, sets: bytes) -> None:
        self._before = _HEAD + _tag(bytes((_AVC_KEY, 0, 0, 0, 0)) + sets, at_ms=0)

    def unit(self, picture: Picture, *, at_ms: int, shown_later_ms: int) -> bytes:
        """A picture; *shown_later_ms* than decoded, or earlier."""
        kind = bytes((_AVC_KEY if picture.keyframe else _AVC, 1))
        tag = _tag(kind + shown_later_ms.to_bytes(3, "big", signed=True) + picture.data, at_ms=at_ms)
        before, self._before = self._before, b""
        return before + tag


def _tag(body: bytes, *, at_ms: int) -> bytes:
    time = at_ms & 0xFFFFFFFF
    stamp = (time & 0xFFFFFF).to_bytes(3, "big") + bytes((time >> 24,))
    head = bytes((_VIDEO,)) + len(body).to_bytes(3, "big") + stamp + b"\0\0\0"
    return head + body + (len(head) + len(body)).to_bytes(4, "big")
