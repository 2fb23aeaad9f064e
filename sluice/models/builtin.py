"""The nets that Sluice brings, made to take batches of any size and frames as they are."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sluice.models import graph as graphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def prepare(style: str, source: Path, target: Path) -> None:
    """Read the fetched net in *source*, and write what is served to *target*."""
    model = graphs.read(source)
    PREPARATIONS[style](model)
    model.ir_version = max(model.ir_version, 4)  # before, weights had to be inputs too
    graphs.write(model, target)


def _fastestdet(model: "ModelProto") -> None:
    """Exported for one frame of 352 x 352; it shuffles channels by reshaping to just that."""
    _shuffle_by_slices(model.graph)
    _free(model.graph)
    _scale_first_weights(model.graph, divide=255.0, bgr=True)  # upstream reads by OpenCV, so it knows BGR
    graphs.take_frames(model)


def _centerface(model: "ModelProto") -> None:
    """Takes RGB from 0 to 255; the file says 10 frames of 32 x 32, the net takes any. Landmarks are not used."""
    kept = [each for each in model.graph.output if each.name != "540"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    _free(model.graph)
    graphs.take_frames(model)


PREPARATIONS: Final[dict[str, Callable[["ModelProto"], None]]] = {"fastestdet": _fastestdet, "centerface": _centerface}


def _shuffle_by_slices(graph: "GraphProto") -> None:
    """Reshape, transpose, reshape, take half: that is every second channel, which knows no size."""
    from onnx import helper, numpy_helper

    makers = {name: node for node in graph.node for name in node.output}
    known = graphs.constants(graph)
    for index, node in enumerate(graph.node):
        if node.op_type != "Gather":
            continue
        reshaped = makers[node.input[0]]
        first = makers[makers[reshaped.input[0]].input[0]]
        half = int(known[node.input[1]])
        graph.node[index].CopyFrom(
            helper.make_node(
                "Slice",
                [first.input[0], f"sluice_from_{half}", "sluice_end", "sluice_channels", "sluice_step"],
                list(node.output),
                name=node.name,
            )
        )
    values = {"from_0": 0, "from_1": 1, "end": 2**31 - 1, "channels": 1, "step": 2}
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray([value]), f"sluice_{name}") for name, value in values.items()
    )


def _free(graph: "GraphProto") -> None:
    """Let frames, height and width vary."""
    for value, names in [(each, ("frames", "height", "width")) for each in graphs.inputs(graph)] + [
        (each, ("frames", "rows", "columns")) for each in graph.output
    ]:
        dims: Any = value.type.tensor_type.shape.dim
        for place, name in zip((0, 2, 3), names, strict=True):
            dims[place].dim_param = name


def _scale_first_weights(graph: "GraphProto", *, divide: float, bgr: bool) -> None:
    """What would be done to each frame is done once to the weights that meet it: it costs nothing then."""
    from onnx import numpy_helper

    (taken,) = graphs.inputs(graph)
    first = next(node for node in graph.node if taken.name in node.input)
    weights = next(each for each in graph.initializer if each.name == first.input[1])
    values = numpy_helper.to_array(weights) / np.float32(divide)
    values = values[:, ::-1] if bgr else values
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), weights.name))
