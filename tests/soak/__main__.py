"""`python -m tests.soak segmenter 30m`, or detect, or hls."""

import argparse
import re
import sys

from tests.soak import detect, hls, segmenter

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    """A duration as 90s, 30m or 8h."""
    found = re.fullmatch(r"(\d+)([smh])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a duration as 90s, 30m or 8h")
    return int(found[1]) * UNITS[found[2]]


parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
parser.add_argument("what", choices=["segmenter", "detect", "hls"])
parser.add_argument("lasts", type=seconds, nargs="?", default=seconds("30m"))
options = parser.parse_args()
sys.exit({"segmenter": segmenter.main, "detect": detect.main, "hls": hls.main}[options.what](options.lasts))
