"""A picture in a file: read for a model, and written with the boxes that it found."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sluice.errors import SluiceError, UnusableInputError
from sluice.inference import Box
from sluice.video import MAX_PIXELS

_COLOURS: Final = ((255, 64, 64), (64, 220, 64), (80, 140, 255), (255, 200, 0), (255, 0, 255), (0, 220, 220))
_CODECS: Final = {".jpg": ("mjpeg", "yuvj420p"), ".jpeg": ("mjpeg", "yuvj420p"), ".png": ("png", "rgb24")}


def read(path: Path) -> npt.NDArray[np.uint8]:
    """RGB; the first picture of whatever FFmpeg reads; raises UnusableInputError."""
    import av

    try:
        with av.open(str(path), options={"max_pixels": str(MAX_PIXELS)}) as container:
            pixels = next(container.decode(video=0)).to_ndarray(format="rgb24")
    except (OSError, av.error.FFmpegError, StopIteration, IndexError) as error:
        raise UnusableInputError("a picture", str(error) or "none", str(path)) from error
    return pixels.astype(np.uint8, copy=False)


def scaled(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """The same picture in this size."""
    from av import VideoFrame

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray().astype(np.uint8, copy=False)


def drawn(pixels: npt.NDArray[np.uint8], boxes: Sequence[Box]) -> npt.NDArray[np.uint8]:
    """With a frame around each box, of one colour a label."""
    canvas = pixels.copy()
    height, width, _ = canvas.shape
    thick = max(1, round(max(width, height) / 320))
    labels = sorted({box.label for box in boxes})
    for box in boxes:
        x0, x1 = sorted((round(box.x0 * (width - 1)), round(box.x1 * (width - 1))))
        y0, y1 = sorted((round(box.y0 * (height - 1)), round(box.y1 * (height - 1))))
        colour = _COLOURS[labels.index(box.label) % len(_COLOURS)]
        canvas[y0 : y1 + 1, x0 : x0 + thick] = canvas[y0 : y1 + 1, max(x0, x1 - thick + 1) : x1 + 1] = colour
        canvas[y0 : y0 + thick, x0 : x1 + 1] = canvas[max(y0, y1 - thick + 1) : y1 + 1, x0 : x1 + 1] = colour
    return canvas


def write(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    """As JPEG or PNG, by the file's name; raises SluiceError."""
    from av import VideoFrame
    from av.codec import CodecContext

    if path.suffix.lower() not in _CODECS:
        raise SluiceError(f"{path}: expected a name that ends with {', '.join(_CODECS)}")
    name, pixel_format = _CODECS[path.suffix.lower()]
    encoder: Any = CodecContext.create(name, "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt, encoder.time_base = pixel_format, Fraction(1, 25)
    frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
    frame.pts = 0
    try:
        path.write_bytes(b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None))))
    except OSError as error:
        raise SluiceError(f"{path}: {error.strerror}") from error
