"""Detectors of each style without training: every eighth square of a picture that is red or green is a thing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
CELL = 8
LABELS = ("red", "green")
_CELLS = SIDE // CELL


class Builder:
    """Collects nodes; each call gives the name of what it makes."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *fed: str, name: str = "", **attributes: Any) -> str:
        """One operation."""
        name = name or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(fed), [name], **attributes))
        return name

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Numbers that stay."""
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def cells(self, planes: str, size: int, scale: float, channels: Sequence[int]) -> str:
        """[N, cells, 2]: how red and how green each square of *size* pixels is, 0 to 1."""
        pooled = self.node("AveragePool", planes, kernel_shape=[size, size], strides=[size, size])
        chosen = self.node("Gather", pooled, self.constant(channels, np.int64), axis=1)
        scaled = self.node("Mul", chosen, self.constant(scale))
        flat = self.node("Reshape", scaled, self.constant([0, 2, -1], np.int64))
        return self.node("Transpose", flat, perm=[0, 2, 1])

    def write(self, path: Path, inputs: Sequence[Any], outputs: Sequence[Any]) -> Path:
        """The file."""
        graph = helper.make_graph(self.nodes, "tiny", list(inputs), list(outputs), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def boxes(order: str) -> npt.NDArray[np.float32]:
    """Of the squares of eight pixels, row by row, in shares of the picture."""
    rows, columns = np.mgrid[:_CELLS, :_CELLS]
    x, y = columns.ravel() / _CELLS, rows.ravel() / _CELLS
    step = np.full(x.shape, 1 / _CELLS)
    found = {
        "xyxy": (x, y, x + step, y + step),
        "yxyx": (y, x, y + step, x + step),
        "cxcywh": (x + step / 2, y + step / 2, step, step),
    }
    return np.stack(found[order], axis=1).astype(np.float32)


def tensor(name: str, dims: Sequence[int | str], kind: int = TensorProto.FLOAT) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, list(dims))


def yolox(path: Path, *, batch: int | str = 1, side: int | str = SIDE) -> Path:
    """Takes BGR from 0 to 255."""
    build = Builder()
    lists = []
    for stride in (8, 16, 32):
        classes = build.cells("images", stride, 1 / 255, (2, 1))
        middle = build.node("Mul", classes, build.constant([0, 0]))
        half = build.node("Add", middle, build.constant([0.5, 0.5]))
        size = build.node("Add", middle, build.constant([0, 0]))
        there = build.node("Add", build.node("Slice", middle, *_first(build)), build.constant([1]))
        lists.append(build.node("Concat", half, size, there, classes, axis=2))
    build.node("Concat", *lists, name="output", axis=1)
    anchors = 84 if side == SIDE else "anchors"
    return build.write(path, [tensor("images", [batch, 3, side, side])], [tensor("output", [batch, anchors, 7])])


def _first(build: Builder) -> tuple[str, ...]:
    return tuple(build.constant([value], np.int64) for value in (0, 1, 2))


def rtdetr(path: Path) -> Path:
    """Takes RGB from 0 to 1, any number of pictures."""
    build = Builder()
    probability = build.cells("pixel_values", CELL, 1, (0, 1))
    build.node("Mul", build.node("Sub", probability, build.constant(0.5)), build.constant(20), name="logits")
    nothing = build.node("Mul", build.node("Slice", probability, *_first(build)), build.constant(0))
    build.node("Add", nothing, build.constant(boxes("cxcywh")[None]), name="pred_boxes")
    taken = tensor("pixel_values", ["batch", 3, SIDE, SIDE])
    return build.write(path, [taken], [tensor("logits", ["batch", 64, 2]), tensor("pred_boxes", ["batch", 64, 4])])


def rtdetr_finished(path: Path) -> Path:
    """RT-DETR's own export: asks how large the picture was, answers in pixels of that."""
    build = Builder()
    probability = build.cells("images", CELL, 1, (0, 1))
    build.node("ReduceMax", probability, name="scores", axes=[2], keepdims=0)
    build.node("ArgMax", probability, name="labels", axis=2, keepdims=0)
    twice = build.node("Concat", "orig_target_sizes", "orig_target_sizes", axis=1)
    whole = build.node("Unsqueeze", build.node("Cast", twice, to=TensorProto.FLOAT), build.constant([1], np.int64))
    nothing = build.node("Mul", build.node("Slice", probability, *_first(build)), build.constant(0))
    shares = build.node("Add", nothing, build.constant(boxes("xyxy")[None]))
    build.node("Mul", shares, whole, name="boxes")
    sizes = tensor("orig_target_sizes", ["n", 2], TensorProto.INT64)
    outputs = [
        tensor("labels", ["n", 64], TensorProto.INT64),
        tensor("boxes", ["n", 64, 4]),
        tensor("scores", ["n", 64]),
    ]
    return build.write(path, [tensor("images", ["n", 3, SIDE, SIDE]), sizes], outputs)


def ssd(path: Path) -> Path:
    """As TensorFlow's detection API: bytes, y first, classes from 1, of any size."""
    build = Builder()
    planes = build.node("Transpose", build.node("Cast", "image_tensor", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    probability = build.cells(planes, CELL, 1 / 255, (0, 1))
    build.node("ReduceMax", probability, name="detection_scores", axes=[2], keepdims=0)
    best = build.node("Cast", build.node("ArgMax", probability, axis=2, keepdims=0), to=TensorProto.FLOAT)
    build.node("Add", best, build.constant(1), name="detection_classes")
    nothing = build.node("Mul", build.node("Slice", probability, *_first(build)), build.constant(0))
    build.node("Add", nothing, build.constant(boxes("yxyx")[None]), name="detection_boxes")
    count = build.node("ReduceSum", nothing, build.constant([1, 2], np.int64), keepdims=0)
    build.node("Add", count, build.constant(64), name="num_detections")
    build.node("Add", nothing, build.constant(boxes("xyxy")[None]), name="raw_detection_boxes")
    outputs = [
        tensor("raw_detection_boxes", [1, 64, 4]),
        tensor("detection_boxes", [1, 64, 4]),
        tensor("detection_scores", [1, 64]),
        tensor("detection_classes", [1, 64]),
        tensor("num_detections", [1]),
    ]
    return build.write(path, [tensor("image_tensor", [1, "h", "w", 3], TensorProto.UINT8)], outputs)
