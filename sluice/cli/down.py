"""`sluice down`: stop the local runtime."""

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any, Final

from sluice.errors import UnavailableError
from sluice.local.state import is_running, read_runtime

STOP_S: Final = 120


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("down", help="stop everything; what is stored stays")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """End the runtime as Ctrl-C does, and wait until it is gone."""
    found = read_runtime(options.state)
    if found is None:
        print(f"nothing runs in {options.state}")
        return 0
    os.kill(found["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while is_running(found["pid"], found["pid_started"]):
        if time.monotonic() > deadline:
            raise UnavailableError("the local runtime", f"process {found['pid']} has not ended after {STOP_S} s")
        time.sleep(0.05)
    print("stopped")
    return 0
