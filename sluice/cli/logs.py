"""`sluice logs`: what the parts print."""

import argparse
import time
from pathlib import Path
from typing import Any, Final

from sluice.errors import UnavailableError

POLL_S: Final = 0.2
TAIL_BYTES: Final = 16_384


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("logs", help="the end of what a part, or each part, printed")
    parser.add_argument("part", nargs="?", metavar="PART", help="a server, Deployment or function (default: all)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the end of the logs, then what is added."""
    folder: Path = options.state / "logs"
    known = _logs(folder, None)
    if options.part and options.part not in known:
        raise UnavailableError("log", f"none of {options.part!r} in {folder}; there are {', '.join(known) or 'none'}")
    shown: dict[str, int] = {}
    while True:
        for name, path in _logs(folder, options.part).items():
            size = path.stat().st_size
            start = shown.get(name, max(0, size - TAIL_BYTES))
            # A log that shrank was moved away, and began anew.
            shown[name] = _print(path, start if start <= size else 0, prefix="" if options.part else f"{name}: ")
        if not options.follow:
            return 0
        time.sleep(POLL_S)


def _logs(folder: Path, part: str | None) -> dict[str, Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.log"))}
    return {name: path for name, path in found.items() if part in (None, name)}


def _print(path: Path, start: int, *, prefix: str) -> int:
    """Print whole lines from *start* on; returns where the next ones start."""
    with path.open("rb") as log:
        log.seek(start)
        lines = log.read()
    whole = lines[: lines.rfind(b"\n") + 1]
    for line in whole.decode("utf-8", "replace").splitlines():
        print(prefix + line, flush=True)
    return start + len(whole)
