"""`sluice up`: start the local runtime."""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from sluice.errors import UnavailableError
from sluice.local.state import State, read_runtime
from sluice.local.tools import ROOT

READY_S: Final = 180
SHIPPED: Final = ("infra/knative/base", "triggers")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "up",
        help="start everything and stay in the foreground; Ctrl-C stops it",
        description="Starts MinIO, NATS and Triton on loopback and runs the Knative manifests, which it watches: "
        "a changed file takes effect at once, one with an unknown field is refused by file, line and name.",
    )
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.add_argument(
        "--manifests",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"folder of manifests, may be given often (default the checkout's {' and '.join(SHIPPED)})",
    )
    parser.add_argument("--detach", action="store_true", help="return once everything is ready")
    parser.add_argument("--no-triton", action="store_true", help="start no Triton")
    parser.add_argument("--no-minio", action="store_true", help="start no MinIO: for manifests that need no bucket")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start, in the foreground or not."""
    if options.detach:
        return _detach(options)
    from sluice.local.runtime import Options, up

    wanted = Options(
        state=options.state,
        manifests=tuple(options.manifests or (ROOT / folder for folder in SHIPPED)),
        with_minio=not options.no_minio,
        with_triton=not options.no_triton,
    )
    asyncio.run(up(wanted))
    return 0


def _detach(options: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "sluice.cli.main", "up", "--state", str(options.state)]
    command += [word for folder in options.manifests or () for word in ("--manifests", str(folder))]
    command += [f"--no-{name}" for name in ("triton", "minio") if getattr(options, f"no_{name}")]
    log = State(options.state).log("up")
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + READY_S
    while (found := read_runtime(options.state)) is None or not found["ready"]:
        if process.poll() is not None:
            raise UnavailableError("the local runtime", f"it ended:\n{log.read_bytes()[start:].decode().strip()}")
        if time.monotonic() > deadline:
            raise UnavailableError("the local runtime", f"not ready after {READY_S} s, see {log}")
        time.sleep(0.1)
    print(log.read_bytes()[start:].decode(), end="")
    return 0
