"""Frame at a time, as predecessors do: each sampled frame as JPEG in base64 in JSON over HTTP to a model server.

`serve` is that server: it takes the form of KServe's and TF Serving's V1 protocol, decodes the picture, scales it, and
asks the same Triton for one frame. Pictures are full size: a caller does not know what the model wants.
"""

import argparse
import base64
import http.client
import io
import json
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np

from sluice.frames import scaled
from sluice.inference import TritonDetector
from sluice.settings import DetectorSettings
from tests.bench.detecting.alone import rate
from tests.bench.detecting.rig import FPS, FUNCTION_CORE, TRITON_CORE, on_core

SOURCE_FPS = 25


class ModelServer(BaseHTTPRequestHandler):
    """One picture a request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    detector: TritonDetector
    model: str

    def do_POST(self) -> None:
        """Answer with predictions."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        (frame,) = _decoded(base64.b64decode(asked["instances"][0]["b64"]))
        size = scaled(frame.width, frame.height, self.detector.describe(self.model).long_side)
        small = frame.reformat(*size, "rgb24", interpolation="AREA").to_ndarray()
        (boxes,) = self.detector.detect(self.model, small[None])
        found = [[box.label, box.score, box.x0, box.y0, box.x1, box.y1] for box in boxes]
        body = json.dumps({"predictions": [found]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (named by http.server)
        """Say nothing."""


def _decoded(jpeg: bytes) -> list[Any]:
    context = av.CodecContext.create("mjpeg", "r")
    return [*context.decode(av.Packet(jpeg)), *context.decode(None)]


def jpeg_of(frame: Any) -> bytes:
    """At the quality that OpenCV writes by default (95, about 2 on FFmpeg's scale), from BGR as OpenCV holds it."""
    picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="bgr24"), "bgr24")
    context = av.CodecContext.create("mjpeg", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuvj420p"
    context.time_base = frame.time_base
    context.options = {"qmin": "2", "qmax": "2"}
    packets = [*context.encode(picture.reformat(format="yuvj420p")), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def one_chunk(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Every sampled frame of a chunk, one after the other."""
    count = 0
    with av.open(io.BytesIO(body)) as container:
        assert isinstance(container, av.container.InputContainer)
        container.streams.video[0].codec_context.thread_count = 1
        for n, frame in enumerate(container.decode(video=0)):
            if n % round(SOURCE_FPS / FPS):
                continue
            picture = base64.b64encode(jpeg_of(frame)).decode()
            connection.request("POST", "/v1/models/any:predict", json.dumps({"instances": [{"b64": picture}]}))
            answer = connection.getresponse()
            assert answer.status == 200, answer.status
            assert "predictions" in json.loads(answer.read())
            count += 1
    return count


def _callers(port: int, bodies: list[bytes], streams: int) -> list[Callable[[], int]]:
    turns = iter(range(1 << 62))

    def once(connection: http.client.HTTPConnection) -> int:
        return one_chunk(connection, bodies[next(turns) % len(bodies)])

    return [partial(once, http.client.HTTPConnection("127.0.0.1", port, timeout=60)) for _ in range(streams)]


def main() -> None:
    """What the bench asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "call"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    if options.what == "serve":
        on_core(TRITON_CORE)
        ModelServer.detector = TritonDetector(DetectorSettings(url=options.url))
        ModelServer.model = options.model
        ModelServer.detector.detect(options.model, np.zeros((1, 288, 512, 3), np.uint8))
        ThreadingHTTPServer(("127.0.0.1", options.port), ModelServer).serve_forever()
    on_core(FUNCTION_CORE)
    bodies = [path.read_bytes() for path in sorted(options.clips.glob("?.mp4"))]
    callers = _callers(options.port, bodies, options.streams)
    first = callers[0]()
    cpu, began = time.process_time(), time.perf_counter()
    fps = rate(callers, options.seconds)
    used = (time.process_time() - cpu) / ((time.perf_counter() - began) * fps)
    print(json.dumps({"fps": fps, "cpu_ms": used * 1000, "frames": fps * (time.perf_counter() - began) + first}))


if __name__ == "__main__":
    main()
