"""The test pattern: a clip whose every frame says its number, with a magenta square where a pure function says.

It stands in for a camera in the demo and in tests, so nothing has to be downloaded to see the line work.
"""

import heapq
import io
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from segmenter.strip import STRIP, STRIP_BITS, Strip, draw_strip, read_strip
from segmenter.tracks import BITEXACT

__all__ = ["STRIP", "STRIP_BITS", "Strip", "pattern_clip", "picture", "read_strip", "square_at"]

ENCODERS: Final = {"h264": "libx264", "h265": "libx265", "mpeg4": "mpeg4", "mjpeg": "mjpeg", "vp9": "libvpx-vp9"}
MAGENTA: Final = (255, 0, 255)
SQUARE: Final = (60 / 640, 60 / 360)
"""Width and height of the square as fractions of the frame: a square where the frame is 16:9."""
_STEP_X, _STEPS_X = 1 / 160, 145
_STEP_Y, _STEPS_Y = 1 / 180, 138
_TOP_LEFT, _BOTTOM_RIGHT = (14, 18, 26), (44, 52, 66)
AUDIO_HZ: Final = 48_000
AUDIO_SAMPLES: Final = 1024
"""What a frame of AAC holds."""
_VIDEO_HZ: Final = 90_000


def square_at(frame: int) -> tuple[float, float, float, float]:
    """Where the square of *frame* is: (x0, y0, x1, y1) as fractions; on whole, even pixels at 640x360."""
    x0 = _bounce(frame, _STEPS_X) * _STEP_X
    y0 = _bounce(frame, _STEPS_Y) * _STEP_Y
    return x0, y0, x0 + SQUARE[0], y0 + SQUARE[1]


def _bounce(frame: int, steps: int) -> int:
    there = frame % (2 * steps)
    return min(there, 2 * steps - there)


def picture(frame: int, size: tuple[int, int], *, utc_ms: int | None = None) -> NDArray[np.uint8]:
    """Draw one frame as RGB: dark gradient, square, and the number, with the time if one is given, in a strip."""
    width, height = size
    image = _background(size).copy()
    x0, y0, x1, y1 = square_at(frame)
    image[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = MAGENTA
    draw_strip(image, Strip(number=frame, utc_ms=utc_ms))
    return image


@lru_cache(maxsize=1)
def _background(size: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size
    slope = (np.linspace(0, 1, width)[None, :, None] + np.linspace(0, 1, height)[:, None, None]) / 2
    image = (np.array(_TOP_LEFT) + slope * (np.array(_BOTTOM_RIGHT) - np.array(_TOP_LEFT))).astype(np.uint8)
    return cast("NDArray[np.uint8]", image)


def pattern_clip(
    *,
    size: tuple[int, int] = (640, 360),
    fps: int | Fraction = 25,
    gop: int = 50,
    bf: int = 2,
    seconds: float = 4,
    audio: bool = False,
    codec: str = "h264",
    audio_codec: str = "aac",
    container: str = "mp4",
    open_gop: bool = False,
) -> bytes:
    """Draw and encode a clip; the same arguments give the same bytes on the same version of the encoder."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as output:
        output.flags |= BITEXACT
        options = encoder_options(codec, bf, open_gop=open_gop)
        video = cast("VideoStream", output.add_stream(ENCODERS[codec], rate=Fraction(fps), options=options))
        video.width, video.height = size
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size = gop
        video.codec_context.thread_count = 1
        if codec in ("h264", "mpeg4"):
            video.codec_context.max_b_frames = bf
        packets = _pictures(video, round(seconds * fps))
        if audio:
            sound = cast("AudioStream", output.add_stream(audio_codec, rate=AUDIO_HZ))
            packets = _interleaved(packets, _tone(sound, seconds))
        for packet in packets:
            output.mux(packet)
    return out.getvalue()


def encoder_options(codec: str, bf: int, *, open_gop: bool = False) -> dict[str, str]:
    """What makes an encoder quick, and its output the same each time."""
    # One thread: with more of them the encoder's rate control, so the bytes, depend on the number of cores.
    shared = f"open-gop={int(open_gop)}:b-adapt=0:scenecut=0"
    match codec:
        case "h264":
            return {"preset": "veryfast", "x264-params": f"{shared}:threads=1"}
        case "h265":
            quiet = "log-level=error:info=0:pools=none:frame-threads=1"
            return {"preset": "ultrafast", "x265-params": f"{shared}:{quiet}:bframes={bf}"}
        case "vp9":
            return {"deadline": "realtime", "cpu-used": "8"}
        case _:
            return {}


def _pictures(stream: VideoStream, frames: int) -> Iterator[Any]:
    size = (stream.width, stream.height)
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
        frame.pts, frame.time_base = number, 1 / Fraction(stream.codec_context.framerate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _tone(stream: AudioStream, seconds: float) -> Iterator[Any]:
    for first in range(0, round(seconds * AUDIO_HZ), AUDIO_SAMPLES):
        yield from stream.encode(tone(first))
    yield from stream.encode(None)


def tone(first: int) -> av.AudioFrame:
    """Sing 440 Hz for one frame's time, from sample *first* on."""
    at = np.arange(first, first + AUDIO_SAMPLES) / AUDIO_HZ
    wave = (np.sin(at * 2 * np.pi * 440) * 3000).astype(np.int16)[None, :]
    frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    frame.pts, frame.time_base, frame.sample_rate = first, Fraction(1, AUDIO_HZ), AUDIO_HZ
    return frame


def _interleaved(video: Iterator[Any], audio: Iterator[Any]) -> Iterator[Any]:
    """By time, as a camera sends them."""

    def when(packet: Any) -> Fraction:
        return Fraction(packet.dts * packet.time_base)

    yield from heapq.merge(video, audio, key=when)
