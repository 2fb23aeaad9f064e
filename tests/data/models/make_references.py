# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201
# (both: it runs by hand, in an environment of its own that has onnxruntime)
r"""Makes the reference boxes beside this file: plain float nets, one frame at a time, and loops as in a textbook.

It shares nothing with what is served, on purpose. Run it by hand where the weights and clips are (`make tools`):

    uv run --no-project --with av --with onnx --with onnxruntime \
        python tests/data/models/make_references.py ~/.cache/sluice/data
"""

import json
import math
import sys
from pathlib import Path

import av
import numpy as np
import onnx
import onnxruntime

onnxruntime.set_default_logger_severity(3)
HERE = Path(__file__).parent
FRAMES = {"bikes.mp4": (40, 50, 125, 150, 170, 205, 225), "carphone_pristine.mp4": (5, 35, 60, 85, 110)}


def frames(path, numbers, long_side):
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                scale = min(1, long_side / max(frame.width, frame.height))
                width, height = round(frame.width * scale), round(frame.height * scale)
                yield number, frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray()


def planes(frame, order, divide):
    """The net's input: planes of floats, with black up to the next multiple of 32."""
    height, width, _ = frame.shape
    planes = np.zeros((1, 3, math.ceil(height / 32) * 32, math.ceil(width / 32) * 32), np.float32)
    for plane, colour in enumerate(order):
        planes[0, plane, :height, :width] = frame[:, :, colour] / divide
    return planes


def fastestdet(path, height, width):
    """The file is for 352 x 352: every shape in it that says so is made to say this size."""
    model = onnx.load(str(path))
    cells = {44: 8, 22: 16, 11: 32}
    for constant in [
        *model.graph.initializer,
        *(node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"),
    ]:
        value = onnx.numpy_helper.to_array(constant).copy()
        if value.dtype == np.int64 and value.shape == (3,) and value[2] in (44**2, 22**2, 11**2):
            stride = cells[math.isqrt(value[2])]
            value[2] = (height // stride) * (width // stride)
        elif value.dtype == np.int64 and value.shape == (5,) and value[3] in cells:
            stride = cells[int(value[3])]
            value[3], value[4] = height // stride, width // stride
        else:
            continue
        constant.CopyFrom(onnx.numpy_helper.from_array(value, constant.name))
    fed, told = model.graph.input[0], model.graph.output[0]
    for value, (rows, columns) in ((fed, (height, width)), (told, (height // 16, width // 16))):
        value.type.tensor_type.shape.dim[2].dim_value = rows
        value.type.tensor_type.shape.dim[3].dim_value = columns
    del model.graph.value_info[:]
    return model.SerializeToString()


def objects(weights, frame):
    blue_first = planes(frame, (2, 1, 0), 255.0)
    session = onnxruntime.InferenceSession(fastestdet(weights, *blue_first.shape[2:]))
    grid = session.run(None, {"input.1": blue_first})[0][0]
    found = []
    for row in range(grid.shape[1]):
        for column in range(grid.shape[2]):
            cell = [float(value) for value in grid[:, row, column]]
            kind = max(range(80), key=lambda each: cell[5 + each])
            score = cell[0] ** 0.6 * cell[5 + kind] ** 0.4
            if score < 0.4:
                continue
            cx, cy = (column + math.tanh(cell[1])) * 16, (row + math.tanh(cell[2])) * 16
            width, height = 352 / (1 + math.exp(-cell[3])), 352 / (1 + math.exp(-cell[4]))
            found.append((score, kind, cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
    return suppressed(found, 0.45)


def faces(weights, frame):
    fed = planes(frame, (0, 1, 2), 1.0)
    model = onnx.load(str(weights))
    for value in (model.graph.input[0], *model.graph.output):
        for place in (0, 2, 3):
            value.type.tensor_type.shape.dim[place].dim_param = f"any{value.name}{place}"
    session = onnxruntime.InferenceSession(model.SerializeToString())
    heat, size, offset, _ = session.run(["537", "538", "539", "540"], {"input.1": fed})
    found = []
    for row in range(heat.shape[2]):
        for column in range(heat.shape[3]):
            score = float(heat[0, 0, row, column])
            if score < 0.4:
                continue
            height, width = (4 * math.exp(float(size[0, axis, row, column])) for axis in (0, 1))
            cy = 4 * (row + 0.5 + float(offset[0, 0, row, column]))
            cx = 4 * (column + 0.5 + float(offset[0, 1, row, column]))
            found.append((score, 0, cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
    return suppressed(found, 0.3)


def iou(a, b):
    wide = min(a[4], b[4]) - max(a[2], b[2])
    high = min(a[5], b[5]) - max(a[3], b[3])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return both / ((a[4] - a[2]) * (a[5] - a[3]) + (b[4] - b[2]) * (b[5] - b[3]) - both)


def suppressed(found, overlap):
    kept = []
    for box in sorted(found, reverse=True):
        if all(box[1] != other[1] or iou(box, other) <= overlap for other in kept):
            kept.append(box)
    return kept


def shares(box, frame):
    height, width, _ = frame.shape
    corners = (box[2] / width, box[3] / height, box[4] / width, box[5] / height)
    return [round(min(1.0, max(0.0, corner)), 4) for corner in corners]


def main(data):
    coco = json.loads((HERE / "coco80.json").read_text())
    for model, weights, find, long_side, labels in (
        ("objects", "fastestdet-coco80.onnx", objects, 512, coco),
        ("faces", "centerface.onnx", faces, 480, ["face"]),
    ):
        reference = {}
        for clip, numbers in FRAMES.items():
            for number, frame in frames(data / clip, numbers, long_side):
                boxes = find(data / weights, frame)
                reference.setdefault(clip, {})[number] = [
                    {"label": labels[box[1]], "score": round(box[0], 3), "box": shares(box, frame)} for box in boxes
                ]
        (HERE / f"{model}.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).expanduser())
