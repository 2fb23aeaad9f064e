"""Which frames of a chunk are looked at, and which have to be decoded for that. Pure.

Instants of wall time decide, not counts of frames: a camera is looked at in the same moments wherever its chunks begin
and end, and an instant on a border belongs to exactly one of both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A frame as its packet tells it, before anything is decoded."""

    pts: int
    at_ms: float
    """Wall time, Unix milliseconds."""
    keyframe: bool
    reference: bool
    """Whether other frames may need it."""


def chosen(at_ms: Sequence[float], *, end_ms: float, fps: float) -> list[int]:
    """The indexes of the frames that are on show at the instants k/fps; *at_ms* rises, *end_ms* is the chunk's end.

    A frame is shown until the next one is. Where frames are fewer than instants each is taken once.
    """
    untils = [*at_ms[1:], end_ms]
    return [
        index
        for index, (since, until) in enumerate(zip(at_ms, untils, strict=True))
        if math.ceil(since * fps / 1000) < until * fps / 1000
    ]


def picked(frames: Sequence[Shown], *, end_ms: float, fps: float, keyframes_only: bool = False) -> set[int]:
    """The pts of the frames that are looked at; *frames* in decoding order."""
    shown = sorted((each for each in frames if each.keyframe or not keyframes_only), key=lambda each: each.pts)
    return {shown[index].pts for index in chosen([each.at_ms for each in shown], end_ms=end_ms, fps=fps)}


def needed(frames: Sequence[Shown], wanted: set[int]) -> list[bool]:
    """Which frames to decode so that those whose pts is *wanted* come out; in decoding order.

    What no other frame needs is left out, and so is what follows the last wanted frame before the next keyframe.
    """
    starts = [index for index, each in enumerate(frames) if each.keyframe or index == 0]
    need = [False] * len(frames)
    for start, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        mine = [index for index in range(start, end) if frames[index].pts in wanted]
        if not mine:
            continue
        for index in range(start, mine[-1] + 1):
            need[index] = frames[index].reference or frames[index].pts in wanted
        if any(frames[index].pts < frames[start].pts for index in mine):
            _need_before(frames, need, start, starts)
    return need


def _need_before(frames: Sequence[Shown], need: list[bool], start: int, starts: list[int]) -> None:
    """An open GOP's first frames, shown before its keyframe, need the GOP before."""
    before = [each for each in starts if each < start]
    for index in range(before[-1] if before else start, start):
        need[index] = need[index] or frames[index].reference
