"""One side of the bench as a process: Triton with frames at hand, or decoding alone. Prints one JSON line."""

import argparse
import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sluice.frames import Sampler, Want
from tests.bench.detecting.rig import CHUNK_MS, FPS, FUNCTION_CORE, on_core

Frames = npt.NDArray[np.uint8]


def sampled(bodies: list[bytes], long_side: int) -> list[Frames]:
    """The frames of each chunk as the function takes them."""
    want = Want(model="any", fps=FPS, long_side=long_side, max_batch=32)
    found = []
    for body in bodies:
        whole = Sampler(
            body, where="bench", start_ms=0, duration_ms=CHUNK_MS, wants=[want], max_batch_bytes=64 << 20, threads=1
        )
        found.append(np.concatenate([batch.frames for batch in whole]))
    return found


def triton(url: str, model: str, frames: Frames, *, batch: int, concurrency: int, seconds: float) -> float:
    """Frames a second of so many callers, each with one request under way; requests are made beforehand."""
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput

    outputs = [InferRequestedOutput(name) for name in ("BOXES", "SCORES", "CLASSES", "COUNTS")]
    batches = [np.ascontiguousarray(np.resize(np.roll(frames, -at, 0), (batch, *frames.shape[1:]))) for at in range(4)]

    def ask(client: Any) -> Callable[[], int]:
        given = []
        for each in batches:
            given.append(InferInput("FRAMES", list(each.shape), "UINT8"))
            given[-1].set_data_from_numpy(each)
        turns = iter(range(1 << 62))

        def once() -> int:
            answer = client.infer(model, [given[next(turns) % len(given)]], outputs=outputs)
            assert len(answer.as_numpy("COUNTS")) == batch
            return batch

        return once

    return rate([ask(InferenceServerClient(url)) for _ in range(concurrency)], seconds)


def rate(workers: list[Callable[[], int]], seconds: float) -> float:
    """Units a second that they finish together, each asked again as soon as it is done."""
    done: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    began = time.perf_counter()

    def work(once: Callable[[], int]) -> None:
        count = 0
        try:
            while time.perf_counter() - began < seconds:
                count += once()
        except BaseException as error:
            done.put(error)
            raise
        done.put(count)

    threads = [threading.Thread(target=work, args=(each,)) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted = time.perf_counter() - began
    counts = [done.get() for _ in workers]
    assert all(isinstance(each, int) for each in counts), counts
    return sum(each for each in counts if isinstance(each, int)) / lasted


def decoding(bodies: list[bytes], long_side: int, seconds: float) -> float:
    """Sampled frames a second, decoded and scaled."""
    turns = iter(range(1 << 62))
    return rate([lambda: len(sampled([bodies[next(turns) % len(bodies)]], long_side)[0])], seconds)


def main() -> None:
    """What the bench asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["triton", "decode"])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--model", default="")
    parser.add_argument("--long-side", type=int, required=True)
    parser.add_argument("--plans", default="1x1", help="batch x concurrency, several by commas")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--both-cores", action="store_true")
    options = parser.parse_args()
    if not options.both_cores:
        on_core(FUNCTION_CORE)
    bodies = [path.read_bytes() for path in sorted(options.clips.glob("?.mp4"))]
    if options.what == "decode":
        cpu, began = time.process_time(), time.perf_counter()
        fps = decoding(bodies, options.long_side, options.seconds)
        used = (time.process_time() - cpu) / ((time.perf_counter() - began) * fps)
        print(json.dumps({"fps": fps, "cpu_ms": used * 1000}))
        return
    frames = np.concatenate(sampled(bodies, options.long_side))
    found = {}
    for plan in options.plans.split(","):
        batch, concurrency = map(int, plan.split("x"))
        found[plan] = triton(
            options.url, options.model, frames, batch=batch, concurrency=concurrency, seconds=options.seconds
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
