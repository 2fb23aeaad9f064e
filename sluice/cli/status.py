"""`sluice status`: what runs, where, and what is wrong."""

import argparse
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sluice.errors import UnavailableError
from sluice.local.state import running

ANSWER_S: Final = 20


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("status", help="parts, instances, addresses, what was skipped, problems")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask the running runtime."""
    found = running(options.state)
    if not found["ready"]:
        raise UnavailableError("the local runtime", f"it is starting, see {options.state / 'logs'}")
    try:
        with urllib.request.urlopen(found["endpoints"]["admin"] + "/status", timeout=ANSWER_S) as answer:
            status: dict[str, Any] = json.load(answer)
    except (OSError, urllib.error.URLError) as error:
        raise UnavailableError("the local runtime", str(error)) from error
    print(json.dumps(status, indent=1) if options.json else "\n".join(_lines(status)))
    return 0


def _lines(status: dict[str, Any]) -> Iterator[str]:
    for name, part in status["parts"].items():
        yield f"{name:24} {part['phase']}, pid {part['pid']}, {part['restarts']} restarts{_because(part)}"
    for name, each in status["services"].items():
        count = f"{len(each['instances'])} instances" + (f", {each['starting']} starting" if each["starting"] else "")
        yield f"{name:24} {count} of {each['revision']}, {each['crashes']} crashes, {each['url']}{_because(each)}"
    for name, each in status["triggers"].items():
        counts = ", ".join(f"{value} {word.replace('_', ' ')}" for word, value in each.items() if word != "problem")
        yield f"{name:24} {counts}{_because(each)}"
    for name in ("s3", "nats", "nats-ws", "nats-monitor", "triton"):
        yield f"{name:24} {status['endpoints'][name]}"
    for name, address in status["endpoints"]["brokers"].items():
        yield f"{'Broker ' + name:24} {address}"
    pending = "unknown, NATS does not answer" if status["pending"] is None else status["pending"]
    yield f"{'events under way':24} {pending}"
    for kind in ("skipped", "notices", "problems"):
        yield from (f"{kind.removesuffix('s'):24} {each}" for each in status[kind])


def _because(part: dict[str, Any]) -> str:
    return f"; last problem: {part['problem'].splitlines()[-1][:160]}" if part["problem"] else ""
