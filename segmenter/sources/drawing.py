"""The test pattern drawn and encoded in a process of its own: its memory goes back when it ends.

`python -m segmenter.sources.drawing` writes a clip (mp4) to standard output, or with --live an endless stream (MPEG-TS,
or NUT for MJPEG).
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av

from segmenter.pattern import AUDIO_HZ, AUDIO_SAMPLES, ENCODERS, encoder_options, pattern_clip, picture, tone
from segmenter.sei import numbered

_MARKED = {"h264": "h264", "h265": "hevc"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m segmenter.sources.drawing", description=__doc__)
    for name in ("--width", "--height", "--fps", "--gop", "--bf", "--frames", "--first"):
        parser.add_argument(name, type=int, default=0)
    parser.add_argument("--codec", choices=[*sorted(_MARKED), "mjpeg"], default="h264")
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--live", action="store_true")
    asked = parser.parse_args(arguments)
    av.logging.set_level(None)
    if asked.live:
        _draw_live(asked)
        return 0
    clip = pattern_clip(
        size=(asked.width, asked.height),
        fps=asked.fps,
        gop=asked.gop,
        bf=asked.bf,
        seconds=asked.frames / asked.fps,
        audio=asked.audio,
        codec=asked.codec,
    )
    sys.stdout.buffer.write(clip)
    sys.stdout.buffer.flush()
    return 0


def _draw_live(asked: argparse.Namespace) -> None:
    # MPEG-TS keeps decoding times: without them a first GOP with B-frames would be lost; it cannot hold MJPEG.
    container = "mpegts" if asked.codec in _MARKED else "nut"
    # Flushed: what is drawn must not wait in a buffer of the writer.
    with av.open("pipe:1", "w", format=container, container_options={"flush_packets": "1"}) as output:
        video: Any = output.add_stream(
            ENCODERS[asked.codec], rate=asked.fps, options=encoder_options(asked.codec, asked.bf)
        )
        video.width, video.height = asked.width, asked.height
        video.pix_fmt = "yuvj420p" if asked.codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size, video.codec_context.thread_count = asked.gop, 1
        if asked.codec == "h264":
            video.codec_context.max_b_frames = asked.bf
        sound: Any = output.add_stream("aac", rate=AUDIO_HZ) if asked.audio else None
        samples = itertools.count(asked.first * AUDIO_HZ // asked.fps, AUDIO_SAMPLES)
        heard = next(samples)
        began = time.monotonic()
        for number in itertools.count(asked.first):
            time.sleep(max(0.0, began + (number - asked.first) / asked.fps - time.monotonic()))
            _draw(output, video, number, asked)
            while sound is not None and Fraction(heard, AUDIO_HZ) <= Fraction(number, asked.fps):
                output.mux(sound.encode(tone(heard)))
                heard = next(samples)


def _draw(output: Any, video: Any, number: int, asked: argparse.Namespace) -> None:
    now_ms = time.time_ns() // 1_000_000
    frame = av.VideoFrame.from_ndarray(picture(number, (asked.width, asked.height), utc_ms=now_ms), format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, asked.fps)
    for packet in video.encode(frame):
        output.mux(_marked(packet, asked))


def _marked(packet: Any, asked: argparse.Namespace) -> Any:
    if asked.codec not in _MARKED:
        return packet
    shown = round(packet.pts * packet.time_base * asked.fps)
    marked = av.Packet(numbered(memoryview(packet), shown, codec=_MARKED[asked.codec], length_size=None))
    marked.pts, marked.dts, marked.duration = packet.pts, packet.dts, packet.duration
    marked.time_base, marked.is_keyframe, marked.stream = packet.time_base, packet.is_keyframe, packet.stream
    return marked


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # whoever looked has gone; nothing is left to be said
