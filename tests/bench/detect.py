"""`make bench-detect`: how near detect comes to what its cores can do, and what the whole line costs.

One figure a line, its goal or budget beside it; the sides of a ratio are measured in turn within one run.
"""

import argparse
import os
import sys

import pytest

from tests.bench import quality
from tests.bench.detecting import throughput, whole_line


def _parts(options: argparse.Namespace) -> bool:
    wanted, met = (options.only,) if options.only else ("throughput", "line", "quality"), True
    if "throughput" in wanted:
        met &= throughput.run(
            model=options.model,
            instances=options.instances,
            bit_rate=options.bit_rate,
            rounds=options.rounds,
            chunks=options.chunks,
            seconds=options.seconds,
        )
    if "line" in wanted:
        met &= whole_line.run(model=options.model, bit_rate=options.bit_rate, seconds=options.window)
    if "quality" in wanted:
        quality.main([])
    return met


def main() -> int:
    """Status 1: a goal is missed."""
    parser = argparse.ArgumentParser(prog="make bench-detect", description=__doc__)
    parser.add_argument("--model", default="objects")
    parser.add_argument("--instances", type=int, default=2, help="of the function, on its one core")
    parser.add_argument("--bit-rate", default="2M", help="of the 720p25 video")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chunks", type=int, default=30, help="a round and number of instances")
    parser.add_argument("--seconds", type=float, default=4, help="of each other side and round")
    parser.add_argument(
        "--window", type=float, default=60, help="seconds of the running line; whole minutes hold a sweep"
    )
    parser.add_argument("--only", choices=["throughput", "line", "quality"], help="one part")
    options = parser.parse_args()
    told = f"model {options.model}, 720p25 chunks of 3 s, {options.bit_rate}bit/s"
    print(f"{told}; load of the machine before: {os.getloadavg()[0]:.1f}", flush=True)
    try:
        met = _parts(options)
    except (pytest.fail.Exception, AssertionError) as error:
        sys.exit(str(error))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
