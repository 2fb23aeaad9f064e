"""How often each label stands in what detect said of a chunk. Pure."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec

from sluice.contracts.index import LabelCount

MOST_LABELS: Final = 100
"""Of a chunk; a model's labels are its own, and a timeline has only so many colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    objects: tuple[_Object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Data:
    frames: tuple[_Frame, ...] = ()
    """A rejection has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    data: _Data


def labels_in(body: bytes) -> dict[str, LabelCount]:
    """Of a result object; one that cannot be read shows nothing."""
    try:
        result = msgspec.json.decode(body, type=_Result)
    except msgspec.DecodeError:
        return {}
    frames, most = Counter[str](), dict[str, int]()
    for frame in result.data.frames:
        for label, count in Counter(each.label for each in frame.objects).items():
            frames[label] += 1
            most[label] = max(most.get(label, 0), count)
    return {label: LabelCount(frames=count, most=most[label]) for label, count in frames.most_common(MOST_LABELS)}
