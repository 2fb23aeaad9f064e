"""From frames to a net's input, and from its outputs to boxes. numpy alone, no loop over anchors.

A style is a family of nets with outputs of one form. Each gives boxes in pixels of the canvas (the padded frame).
"""

import numpy as np

CANDIDATES = 400
"""Boxes a frame that suppression looks at, the best ones."""


def sigmoid(values):
    """Without a warning at values far below zero."""
    return 1 / (1 + np.exp(-np.clip(values, -60, 60)))


def cornered(cx, cy, width, height):
    """Corners of boxes given by their middle."""
    return np.stack([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2], axis=-1)


def fastestdet(outputs, canvas, given):
    """One map [N,5+C,h,w]: objectness, offsets, sizes as shares of 352 pixels, class probabilities."""
    (grid,) = outputs.values()
    best = grid[:, 5:].max(axis=1)
    scores = grid[:, 0] ** 0.6 * best**0.4
    frames, rows, columns = np.nonzero(scores >= given["min_score"])
    stride = canvas[2] / grid.shape[3]
    told = grid[frames, :, rows, columns]
    cx, cy = (columns + np.tanh(told[:, 1])) * stride, (rows + np.tanh(told[:, 2])) * stride
    # Trained at 352 x 352: a size is a share of that, whatever the canvas.
    boxes = cornered(cx, cy, 352 * sigmoid(told[:, 3]), 352 * sigmoid(told[:, 4]))
    return frames, boxes, scores[frames, rows, columns], told[:, 5:].argmax(axis=1)


def centerface(outputs, canvas, given):
    """Maps of heat [N,1,h,w], sizes [N,2,h,w] as logarithms, and offsets [N,2,h,w], both y before x; four pixels a cell."""
    heat, sizes, offsets = (outputs[name] for name in ("537", "538", "539"))
    frames, rows, columns = np.nonzero(heat[:, 0] >= given["min_score"])
    height, width = 4 * np.exp(sizes[frames, :, rows, columns]).T
    dy, dx = offsets[frames, :, rows, columns].T
    boxes = cornered(4 * (columns + dx + 0.5), 4 * (rows + dy + 0.5), width, height)
    return frames, boxes, heat[frames, 0, rows, columns], np.zeros(len(frames), np.int64)


def yolox(outputs, canvas, given):
    """One list [N,A,5+C] over grids of stride 8, 16 and 32: offsets, logarithms of sizes, objectness, classes."""
    (rows,) = outputs.values()
    _, height, width, _ = canvas
    cells = []
    for stride in (8, 16, 32):
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=-1))
    cells = np.concatenate(cells)
    scores = rows[..., 4] * rows[..., 5:].max(axis=2)
    frames, places = np.nonzero(scores >= given["min_score"])
    told, cell = rows[frames, places], cells[places]
    centre, size = (told[:, :2] + cell[:, :2]) * cell[:, 2:], np.exp(np.minimum(told[:, 2:4], 20)) * cell[:, 2:]
    boxes = cornered(*centre.T, *size.T)
    return frames, boxes, scores[frames, places], told[:, 5:].argmax(axis=1)


def rtdetr(outputs, canvas, given):
    """Queries: logits [N,Q,C] and boxes [N,Q,4] as middle and size in shares of the canvas."""
    by_role = {role: outputs[given[role]] for role in ("logits", "boxes")}
    probability = sigmoid(by_role["logits"])
    scores = probability.max(axis=2)
    frames, places = np.nonzero(scores >= given["min_score"])
    boxes = cornered(*by_role["boxes"][frames, places].T) * np.tile((canvas[2], canvas[1]), 2)
    return frames, boxes, scores[frames, places], probability[frames, places].argmax(axis=1)


def ssd(outputs, canvas, given):
    """Ready boxes [N,Q,4] with scores and classes [N,Q]; in shares or pixels, x or y first, classes from 0 or 1."""
    boxes, scores, classes = (outputs[given[role]] for role in ("boxes", "scores", "classes"))
    usable = scores >= given["min_score"]
    if "counts" in given:
        usable &= np.arange(scores.shape[1]) < outputs[given["counts"]].reshape(-1, 1)
    frames, places = np.nonzero(usable)
    chosen = boxes[frames, places].astype(np.float64)
    if given.get("corners") == "yxyx":
        chosen = chosen[:, [1, 0, 3, 2]]
    if given.get("units") != "pixels":
        chosen = chosen * np.tile((canvas[2], canvas[1]), 2)
    return frames, chosen, scores[frames, places], classes[frames, places].astype(np.int64) - given["first_class"]


STYLES = {each.__name__: each for each in (fastestdet, centerface, yolox, rtdetr, ssd)}


def unique(boxes, scores, classes, overlap, most):
    """Indexes of the boxes to keep, best first: of boxes of one class that overlap by more the best one alone."""
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    x0, y0, x1, y1 = boxes[order].T
    area = np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0)
    wide = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0)
    high = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0)
    both = np.maximum(wide, 0) * np.maximum(high, 0)
    rivals = both > overlap * (area[:, None] + area - both)
    rivals &= classes[order][:, None] == classes[order]
    kept, open_ = [], np.ones(len(order), bool)
    while len(kept) < most and open_.any():
        first = int(open_.argmax())
        kept.append(first)
        open_ &= ~rivals[first]
        open_[first] = False
    return order[kept]


def shrunk(frames, width, height):
    """Bilinear, for the rare frame that is larger than it was asked to be: a net's cost grows with its area."""
    y = np.clip((np.arange(height) + 0.5) * frames.shape[1] / height - 0.5, 0, frames.shape[1] - 1)
    x = np.clip((np.arange(width) + 0.5) * frames.shape[2] / width - 0.5, 0, frames.shape[2] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, frames.shape[1] - 1), np.minimum(left + 1, frames.shape[2] - 1)
    down, along = (y - top).astype(np.float32)[:, None, None], (x - left).astype(np.float32)[:, None]
    upper = frames[:, top][:, :, left] * (1 - along) + frames[:, top][:, :, right] * along
    lower = frames[:, below][:, :, left] * (1 - along) + frames[:, below][:, :, right] * along
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


class Reader:
    """What a model's parameters say of its net."""

    def __init__(self, parameters):
        self.decode = STYLES[parameters["style"]]
        self.labels = len([line for line in parameters["labels"].splitlines() if line.strip()])
        self.size = [int(each) for each in parameters["size"].split("x")] if "size" in parameters else None
        self.long_side = int(parameters["long_side"])
        self.multiple = int(parameters.get("multiple", 32))
        self.fill = int(parameters.get("fill", 0))
        self.overlap = float(parameters.get("max_overlap", 0.45))
        roles = {key[5:]: value for key, value in parameters.items() if key.startswith("role_")}
        read = {"min_score": float(parameters["min_score"]), "first_class": int(parameters.get("first_class", 0))}
        self.given = {**parameters, **roles, **read}

    def padded(self, frames):
        """The frames in the upper left of a canvas that the net takes, and their width and height there."""
        _, height, width, _ = frames.shape
        most = self.size or (self.long_side, self.long_side)
        scale = min(1.0, most[0] / width, most[1] / height)
        if scale < 1:
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
            frames = shrunk(frames, width, height)
        wide, high = self.size or (-(-length // self.multiple) * self.multiple for length in (width, height))
        if (wide, high) == (width, height):
            return frames, (width, height)
        canvas = np.full((len(frames), high, wide, 3), self.fill, np.uint8)
        canvas[:, :height, :width] = frames
        return canvas, (width, height)

    def read(self, outputs, canvas, size, most):
        """BOXES, SCORES, CLASSES and COUNTS of the detector contract."""
        frames, boxes, scores, classes = self.decode(outputs, canvas, self.given)
        count = canvas[0]
        boxes = np.clip(boxes / np.tile(size, 2), 0, 1)  # what lies in the padding is not there
        there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        there &= np.isfinite(scores) & (classes >= 0) & (classes < self.labels)
        found = {
            "BOXES": np.zeros((count, most, 4), np.float32),
            "SCORES": np.zeros((count, most), np.float32),
            "CLASSES": np.zeros((count, most), np.int32),
            "COUNTS": np.zeros((count, 1), np.int32),
        }
        for frame in range(count):
            mine = np.flatnonzero(there & (frames == frame))
            mine = mine[unique(boxes[mine], scores[mine], classes[mine], self.overlap, most)]
            found["BOXES"][frame, : len(mine)] = boxes[mine]
            found["SCORES"][frame, : len(mine)] = scores[mine]
            found["CLASSES"][frame, : len(mine)] = classes[mine]
            found["COUNTS"][frame] = len(mine)
        return found
