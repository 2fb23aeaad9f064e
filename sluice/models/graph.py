"""Edits of ONNX graphs: frames go in as they come from a decoder, one byte a colour, RGB."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sluice.errors import UnusableInputError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

FRAMES: Final = "FRAMES"
"""The input that every net gets: uint8 [N, height, width, 3]."""


def read(path: Path) -> "ModelProto":
    """The graph in *path*; raises UnusableInputError when there is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise UnusableInputError("an ONNX file", "nothing", str(path)) from error
    except (DecodeError, OSError, onnx.checker.ValidationError) as error:
        raise UnusableInputError("an ONNX graph", str(error).strip().splitlines()[0][:200], str(path)) from error
    return model


def write(model: "ModelProto", path: Path) -> None:
    """Check and write it, with all weights inside."""
    import onnx

    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def inputs(graph: "GraphProto") -> list[Any]:
    """What has to be fed; old files list their weights as inputs too."""
    weights = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in weights]


def shape(value: Any) -> tuple[int | str, ...]:
    """Its dimensions: a number, or the name of one that may vary ('' when it has none)."""
    return tuple(each.dim_value or each.dim_param for each in value.type.tensor_type.shape.dim)


def constants(graph: "GraphProto") -> dict[str, npt.NDArray[Any]]:
    """Every constant of the graph by its name."""
    from onnx import numpy_helper

    found = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def take_frames(
    model: "ModelProto",
    *,
    bgr: bool = False,
    divide: float = 1.0,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> None:
    """Put nodes in front that turn FRAMES into what the net was trained on: (colour / divide - mean) / std."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (taken,) = inputs(graph)
    kind, fixed = taken.type.tensor_type.elem_type, shape(taken)
    planar = fixed[1] == 3
    steps: list[tuple[str, dict[str, Any], npt.NDArray[Any] | None]] = []
    if planar:
        steps.append(("Transpose", {"perm": [0, 3, 1, 2]}, None))
    if bgr:
        steps.append(("Gather", {"axis": 1 if planar else 3}, np.asarray([2, 1, 0], np.int64)))
    if kind != TensorProto.UINT8:
        steps.append(("Cast", {"to": kind}, None))
    steps += _scaling(kind, planar=planar, divide=divide, mean=mean, std=std)
    nodes, flows = [], FRAMES
    for index, (operator, attributes, operand) in enumerate(steps or [("Identity", {}, None)]):
        last = taken.name if index >= len(steps) - 1 else f"sluice_{operator.lower()}"
        by = [f"sluice_{operator.lower()}_by"] if operand is not None else []
        if operand is not None:
            graph.initializer.append(numpy_helper.from_array(operand, by[0]))
        nodes.append(helper.make_node(operator, [flows, *by], [last], **attributes))
        flows = last
    _put_in_front(graph, nodes)
    weights = [each for each in graph.input if each.name != taken.name]
    del graph.input[:]
    rows, columns = (fixed[2], fixed[3]) if planar else (fixed[1], fixed[2])
    size = [fixed[0] or "frames", rows or "height", columns or "width", 3]
    graph.input.extend([helper.make_tensor_value_info(FRAMES, TensorProto.UINT8, size), *weights])
    prune(graph)


def _scaling(
    kind: int, *, planar: bool, divide: float, mean: Sequence[float], std: Sequence[float]
) -> list[tuple[str, dict[str, Any], npt.NDArray[Any] | None]]:
    """One multiplication and one addition at most: colour * factor + shift."""
    from onnx import helper

    number = helper.tensor_dtype_to_np_dtype(kind)
    deviation = np.asarray(std or (1, 1, 1), np.float64)
    layout = (1, 3, 1, 1) if planar else (1, 1, 1, 3)
    factor = (1 / (divide * deviation)).reshape(layout)
    shift = (-np.asarray(mean or (0, 0, 0), np.float64) / deviation).reshape(layout)
    found = [("Mul", factor)] if (factor != 1).any() else []
    found += [("Add", shift)] if (shift != 0).any() else []
    if found and not np.issubdtype(number, np.floating):
        raise UnusableInputError(
            "a net that takes numbers with fractions, to scale colours for it", f"{number}", "graph"
        )
    return [(operator, {}, value.astype(number)) for operator, value in found]


def _put_in_front(graph: "GraphProto", nodes: list[Any]) -> None:
    behind = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *behind])


def prune(graph: "GraphProto") -> None:
    """Forget nodes and weights that lead to no output, and shapes that were true before an edit."""
    needed = {each.name for each in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    weights = [each for each in graph.initializer if each.name in needed]
    named = {each.name for each in graph.initializer}
    fed = [each for each in graph.input if each.name not in named]
    for field, values in ((graph.node, kept[::-1]), (graph.initializer, weights), (graph.input, fed)):
        kept_values = list(values)
        del field[:]
        field.extend(kept_values)
    del graph.value_info[:]
