"""What a line of functions is held against: one process that decodes a film at its pace and looks at 5 frames a second.

Run by the Python that holds onnxruntime, Triton's; PyAV is brought along. Prints one JSON line at its end. It has no
store, no messages, no second model, and is lost with its machine; it is the least that such a process can cost.
"""

import argparse
import json
import sys
import time
from pathlib import Path


def main() -> None:
    """What the bench asks for."""
    parser = argparse.ArgumentParser()
    for name in ("--film", "--net", "--parameters", "--code", "--packages"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    sys.path += [str(options.code), str(options.packages)]
    given = json.loads(options.parameters.read_text("utf-8"))
    print(json.dumps({"cores": _watch(options.film, options.net, given, options.seconds)}))


def _watch(film: Path, path: Path, given: dict[str, str], seconds: float) -> float:
    import av
    import decoding  # type: ignore[import-not-found]  # infra/triton/detector, on the path above
    import onnxruntime  # type: ignore[import-not-found]  # of the environment this runs in

    reader = decoding.Reader(given)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    net = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (name,), outputs = [each.name for each in net.get_inputs()], [each.name for each in net.get_outputs()]
    began, shown, cpu = time.monotonic(), 0, time.process_time()
    while time.monotonic() - began < seconds:
        with av.open(str(film)) as container:
            for frame in container.decode(video=0):
                time.sleep(max(0.0, began + shown / 25 - time.monotonic()))
                shown += 1
                if shown % 5 == 1:
                    small = frame.reformat(512, 288, "rgb24", interpolation="AREA").to_ndarray()[None]
                    canvas, size = reader.padded(small)
                    found = dict(zip(outputs, net.run(outputs, {name: canvas}), strict=True))
                    reader.read(found, canvas.shape, size, 100)
                if time.monotonic() - began >= seconds:
                    break
    return (time.process_time() - cpu) / (shown / 25)  # of the film, which it may have fallen behind


if __name__ == "__main__":
    main()
