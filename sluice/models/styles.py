"""What a user's graph must look like in each style, and what the wrapper is told of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sluice.errors import UnusableInputError
from sluice.models import graph as graphs

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user says of a graph, where it does not say it itself or the style's habit is wrong."""

    size: tuple[int, int] | None = None
    """Width and height."""
    bgr: bool | None = None
    divide: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    corners: str | None = None
    units: str | None = None
    first_class: int | None = None
    min_score: float = 0.4
    max_overlap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A family of nets; *outputs* checks a graph and says how the wrapper reads it."""

    outputs: Callable[["ModelProto", tuple[int, int], int | None, Options], dict[str, str]]
    about: str
    bgr: bool = False
    divide: float = 1.0
    fill: int = 0
    max_overlap: float = 1.0
    """1: the net tells each thing once."""
    others: frozenset[str] = field(default=frozenset())
    """Inputs besides the picture."""


def fail(expected: str, found: Any) -> UnusableInputError:
    """An error about the graph."""
    return UnusableInputError(expected, str(found), "graph")


def told(values: Sequence[Any]) -> str:
    """Names and shapes, for a message."""
    return ", ".join(f"{each.name} {list(graphs.shape(each))}" for each in values) or "none"


def _yolox(model: "ModelProto", size: tuple[int, int], labels: int | None, _options: Options) -> dict[str, str]:
    outputs = list(model.graph.output)
    width, height = size
    if width % 32 or height % 32:
        raise fail("a size in multiples of 32", f"{width}x{height}")
    if len(outputs) != 1 or len(graphs.shape(outputs[0])) != 3:
        raise fail("one output [frames, anchors, 5 + classes]", told(outputs))
    _, anchors, columns = graphs.shape(outputs[0])
    expected = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
    if isinstance(anchors, int) and anchors != expected:
        raise fail(f"{expected} anchors for {width}x{height} (strides 8, 16, 32)", f"{anchors} in {told(outputs)}")
    _count(columns, 5, labels, outputs)
    return {}


def _count(columns: int | str, before: int, labels: int | None, outputs: Sequence[Any]) -> None:
    if labels is not None and isinstance(columns, int) and columns - before != labels:
        raise fail(f"{labels} labels, so {labels + before} columns", told(outputs))


def _named(outputs: Sequence[Any], roles: dict[str, tuple[str, int, tuple[str, ...]]]) -> dict[str, str]:
    """The output of each role: by the name that is usual, else by its rank and words in its name."""
    found: dict[str, str] = {}
    for role, (usual, rank, words) in roles.items():
        exact = [each.name for each in outputs if each.name == usual]
        like = [
            each.name
            for each in outputs
            if len(graphs.shape(each)) == rank and any(word in each.name.lower() for word in words)
        ]
        if len(fits := exact or like) == 1:
            found[f"role_{role}"] = fits[0]
    return found


def _rtdetr(model: "ModelProto", _size: tuple[int, int], labels: int | None, options: Options) -> dict[str, str]:
    outputs = list(model.graph.output)
    if any(each.name == SIZES for each in graphs.inputs(model.graph)):
        finished = Options(units="pixels", corners="xyxy", first_class=options.first_class)
        return {"style": "ssd", **_ssd(model, _size, labels, finished)}
    wanted = {"logits": ("logits", 3, ("logit", "score", "class")), "boxes": ("pred_boxes", 3, ("box",))}
    roles = _named(outputs, wanted)
    shapes = {each.name: graphs.shape(each) for each in outputs}
    if len(roles) != 2 or any(len(shapes[each]) != 3 for each in roles.values()) or shapes[roles["role_boxes"]][2] != 4:
        expected = "outputs logits [frames, queries, classes] and boxes [frames, queries, 4]"
        raise fail(f"{expected}, or an input {SIZES}", f"outputs {told(outputs)}, {told(graphs.inputs(model.graph))}")
    _count(shapes[roles["role_logits"]][2], 0, labels, outputs)
    return roles


def _ssd(model: "ModelProto", _size: tuple[int, int], _labels: int | None, options: Options) -> dict[str, str]:
    outputs = list(model.graph.output)
    wanted = {
        "boxes": ("detection_boxes", 3, ("box",)),
        "scores": ("detection_scores", 2, ("score", "conf")),
        "classes": ("detection_classes", 2, ("class", "label")),
    }
    roles = _named(outputs, wanted)
    shapes = {each.name: graphs.shape(each) for each in outputs}
    if len(roles) != 3 or len(shapes[roles["role_boxes"]]) != 3 or shapes[roles["role_boxes"]][2] != 4:
        raise fail("outputs boxes [frames, n, 4], scores [frames, n] and classes or labels [frames, n]", told(outputs))
    counts = _named(outputs, {"counts": ("num_detections", 1, ("num", "count"))})
    # TensorFlow's detection API counts classes from 1 and says y first; others do neither.
    tensorflow = roles["role_boxes"].startswith("detection_boxes")
    first = options.first_class if options.first_class is not None else int(tensorflow)
    return {
        **roles,
        **counts,
        "corners": options.corners or ("yxyx" if tensorflow else "xyxy"),
        "units": options.units or "shares",
        "first_class": str(first),
    }


SIZES: Final = "orig_target_sizes"
"""RT-DETR's own export asks how large the picture was, to answer in pixels of that."""
STYLES: Final[dict[str, Style]] = {
    "yolox": Style(
        outputs=_yolox,
        about="one output [frames, anchors, 5 + classes], not decoded, as YOLOX exports it; BGR, 0 to 255",
        bgr=True,
        fill=114,
        max_overlap=0.45,
    ),
    "rtdetr": Style(
        outputs=_rtdetr,
        about="logits and boxes of queries, or labels, boxes and scores; RGB, 0 to 1",
        divide=255.0,
        others=frozenset({SIZES}),
    ),
    "ssd": Style(
        outputs=_ssd,
        about="boxes, scores and classes, suppressed already, as TensorFlow's detection API exports them; RGB",
    ),
}
