"""`python -m tests.bench.quality`: what the served models see of 20 frames that were labelled by hand.

Precision: how many of the boxes it tells are right; recall: how many of the labelled things it tells; right is the same
label and an overlap (IoU) of at least 0.5 with a labelled box that no better box has taken. A box that lies mostly on
something marked unclear counts for nothing. Labels that nobody drew (a bench, a traffic light) are not looked at.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice.frames import Sampler, Want
from sluice.inference import Box, TritonDetector
from sluice.local import program
from sluice.local.tools import INSTALL, find_data, find_triton
from sluice.local.triton import TritonPorts, assemble, forget_shared_memory, triton_program
from sluice.settings import DetectorSettings

LABELLED: Final = Path(__file__).parent.parent / "data" / "quality"
MODELS: Final[Mapping[str, Sequence[str]]] = {
    "faces": ("face",),
    "objects": ("person", "car", "bicycle", "motorcycle"),
}
OVERLAP: Final = 0.5
UNCLEAR: Final = "unclear"
Corners = tuple[float, float, float, float]


@dataclass(slots=True)
class Tally:
    """Of one label."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __str__(self) -> str:
        told, there = self.right + self.wrong, self.right + self.missed
        precision = f"{self.right / told:.2f}" if told else "   -"
        recall = f"{self.right / there:.2f}" if there else "   -"
        return f"precision {precision}  recall {recall}  ({self.right} right, {self.wrong} wrong, {self.missed} missed)"


@contextmanager
def served() -> Iterator[TritonDetector]:
    """A detector of a Triton that lives as long as this."""
    home = find_triton()
    if home is None:
        raise SystemExit(f"Triton is not on this machine: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="sluice-quality-") as folder:
        repository = Path(folder, "models")
        for name in assemble(repository):
            print(f"{name} has no weights here and is left out: {INSTALL}")
        ports = TritonPorts(http=program.free_port(), grpc=program.free_port(), metrics=program.free_port())
        server = triton_program(home=home, repository=repository, ports=ports, log=Path(folder, "triton.log"))
        process = program.start(server)
        detector = TritonDetector(DetectorSettings(url=f"127.0.0.1:{ports.grpc}", timeout_s=60))
        try:
            program.wait_ready(server, process, timeout_s=60)
            yield detector
        finally:
            detector.close()
            program.stop(process)
            forget_shared_memory(repository)


def labelled() -> list[dict[str, Any]]:
    """The clips with their labelled frames."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(LABELLED.glob("*.json"))]


def seen(detector: TritonDetector, model: str, clip: Mapping[str, Any]) -> dict[str, tuple[Box, ...]]:
    """What the model says of each labelled frame, decoded and scaled as the function does it."""
    file = find_data(clip["clip"])
    if file is None:
        raise SystemExit(f"{clip['clip']} is not on this machine: {INSTALL}")
    want = Want(model=model, fps=1000, long_side=detector.describe(model).long_side)
    sampler = Sampler(
        file.read_bytes(),
        where=clip["clip"],
        start_ms=0,
        duration_ms=20_000,
        wants=[want],
        max_batch_bytes=8 * 1024 * 1024,
    )
    frames = [frame for batch in sampler for frame in batch.frames]
    return {number: detector.detect(model, frames[int(number)][None])[0] for number in clip["frames"]}


def overlap(one: Corners, other: Corners) -> tuple[float, float]:
    """Intersection over union, and over the area of *one*."""
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area, rest = ((each[2] - each[0]) * (each[3] - each[1]) for each in (one, other))
    return wide * high / (area + rest - wide * high), wide * high / area


def count(boxes: Sequence[Box], objects: Sequence[Mapping[str, Any]], tally: Tally, label: str, size: Corners) -> None:
    """Match the boxes of one label in one frame, best first."""
    open_ = [tuple(each["box"]) for each in objects if each["label"] == label]
    unclear = [tuple(each["box"]) for each in objects if each["label"] == UNCLEAR]
    for box in sorted((each for each in boxes if each.label == label), key=lambda each: -each.score):
        corners = (box.x0 * size[2], box.y0 * size[3], box.x1 * size[2], box.y1 * size[3])
        best = max(open_, key=lambda each: overlap(corners, each)[0], default=None)
        if best is not None and overlap(corners, best)[0] >= OVERLAP:
            open_.remove(best)
            tally.right += 1
        elif not any(overlap(corners, each)[1] > OVERLAP for each in unclear):
            tally.wrong += 1
    tally.missed += len(open_)


def report(detector: TritonDetector, min_scores: Sequence[float]) -> Iterator[str]:
    """Lines for each model, least score and label."""
    clips = labelled()
    yield f"{sum(len(clip['frames']) for clip in clips)} frames of {', '.join(clip['clip'] for clip in clips)}"
    for model, labels in MODELS.items():
        answers = [seen(detector, model, clip) for clip in clips]
        for least in min_scores:
            tallies: dict[str, Tally] = defaultdict(Tally)
            for clip, answer in zip(clips, answers, strict=True):
                size = (0.0, 0.0, float(clip["width"]), float(clip["height"]))
                for number, objects in clip["frames"].items():
                    sure = [box for box in answer[number] if box.score >= least]
                    for label in labels:
                        count(sure, objects, tallies[label], label, size)
            yield f"{model} at scores of at least {least}"
            yield from (f"  {label:<11} {tally}" for label, tally in tallies.items())
            whole = [sum(getattr(each, name) for each in tallies.values()) for name in ("right", "wrong", "missed")]
            yield f"  {'all':<11} {Tally(*whole)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    parser.add_argument("--min-score", type=float, action="append", help="may be given again (default 0.4 0.5 0.6)")
    with served() as detector:
        for line in report(detector, parser.parse_args(arguments).min_score or (0.4, 0.5, 0.6)):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
