"""Finds bright, saturated magenta squares in frames: the detector contract with numpy and no weights.

A pixel is magenta when red and blue both exceed green by more than half of the full range. At the edge of a square
4:2:0 subsampling mixes it with the ground, and one half of the mixture is just where the edge is.
"""

import numpy as np
import triton_python_backend_utils as pb_utils

MOST = 8
"""K of the detector contract: objects a frame, as in config.pbtxt."""
SMALLEST_PX = 3
"""Less is noise of the codec."""
FILLED = 0.6
"""Share of its box that a square fills; an empty frame or a cross fills less."""


def runs(line):
    """Start and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], line, [False]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2]) if b - a >= SMALLEST_PX]


def squares(frame):
    """Boxes in pixels, left to right; squares that share a column must not share a row."""
    red, green, blue = (frame[..., i].astype(np.int16) for i in range(3))
    magenta = np.minimum(red, blue) - green > 127
    found = []
    for x0, x1 in runs(magenta.any(axis=0)):
        for y0, y1 in runs(magenta[:, x0:x1].any(axis=1)):
            if magenta[y0:y1, x0:x1].mean() >= FILLED:
                found.append((x0, y0, x1, y1))
    return found[:MOST]


class TritonPythonModel:
    """What the python backend calls."""

    def execute(self, requests):
        """Answer every request of a dynamic batch by itself: frames of two requests may differ in size."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        frames = pb_utils.get_input_tensor_by_name(request, "FRAMES").as_numpy()
        n, height, width, _ = frames.shape
        boxes, scores = np.zeros((n, MOST, 4), np.float32), np.zeros((n, MOST), np.float32)
        classes, counts = np.zeros((n, MOST), np.int32), np.zeros((n, 1), np.int32)
        for i, frame in enumerate(frames):
            found = squares(frame)
            counts[i] = len(found)
            scores[i, : len(found)] = 1
            if found:
                boxes[i, : len(found)] = np.asarray(found, np.float32) / (width, height, width, height)
        outputs = {"BOXES": boxes, "SCORES": scores, "CLASSES": classes, "COUNTS": counts}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name, value in outputs.items()])
