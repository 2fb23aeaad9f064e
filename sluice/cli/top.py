"""`sluice top`: cameras, functions and their latencies, now."""

import argparse
import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.errors import InvalidEventError, SluiceError, UnavailableError

if TYPE_CHECKING:
    from sluice.bus import Message
    from sluice.cli.figures import LastMinute, Picture
    from sluice.local.administrator import Administrator

ANSWER_S: Final = 2
COLUMNS: Final = """\
of the last minute, all cameras together:
  FPS OUT    frames a second that a model looked at; WANTED as the cameras' settings say
  DROPPED    the share of wanted frames that was not looked at, because chunks waited
  WAIT       from a chunk's end until its function began: the age of what is taken from the queue
  LATENCY    from a chunk's end, so from its last frame, to its event
instances and requests are known of the local runtime alone
"""
CLEAR: Final = "\x1b[H\x1b[J"


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "top",
        help="cameras, frames in and out, latencies and instances, each second",
        epilog=COLUMNS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--once", action="store_true", help="show the last minute and end")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds between two pictures (1)")
    parser.add_argument("--json", action="store_true", help="a JSON document a line, for programs")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow every event, and show what the last minute was like."""
    from sluice.cli.figures import MINUTE, LastMinute
    from sluice.following import follow
    from sluice.local.administrator import administrator
    from sluice.selection import streams_of

    minute, troubles = LastMinute(), list[SluiceError]()
    with administrator(options.state) as admin:
        lost = None if options.once else troubles.append
        flow = follow(admin.bus, streams_of((), ()), since=datetime.now(UTC) - MINUTE, lost=lost)
        for _ in _rounds(flow, minute, every_s=options.every):
            _show(_picture(minute, admin, options.state, troubles), as_json=options.json)
            troubles.clear()
            if options.once:
                break
    return 0


def _rounds(flow: "Iterator[Message | None]", minute: "LastMinute", *, every_s: float) -> Iterator[None]:
    """Take in what comes; yields whenever it is time to show it, the first time when all that was there is known."""
    due = 0.0
    began = datetime.now(UTC)
    known = False
    for message in flow:
        if message is not None:
            _take(message, minute)
        known = known or message is None or message.stored_at > began
        if known and time.monotonic() >= due:
            due = time.monotonic() + every_s
            yield


def _take(message: "Message", minute: "LastMinute") -> None:
    from sluice import events

    with suppress(InvalidEventError, KeyError):  # `sluice events` tells
        kind = events.CONTRACTS[events.peek(message.headers, message.payload)["type"]]
        minute.add(events.from_nats(message.headers, message.payload, kind), at=message.stored_at)


def _picture(minute: "LastMinute", admin: "Administrator", state: Path, troubles: list[SluiceError]) -> "Picture":
    from sluice.cli.camera_reports import reports
    from sluice.cli.figures import Picture

    notes = [str(error) for error in troubles]
    cameras: dict[str, Any] = {}
    try:
        cameras = reports(admin.segmenter_url)
    except UnavailableError as error:
        notes.append(f"{error}; so no camera's state is known")
    status = _status(state, notes)
    now = datetime.now(UTC)
    return Picture(
        at=now,
        cameras=cameras,
        chunks_per_s=minute.chunks_per_s(now),
        works=minute.works(now),
        services=status.get("services", {}),
        pending=status.get("pending"),
        notes=notes,
    )


def _status(state: Path, notes: list[str]) -> dict[str, Any]:
    from sluice.local.state import read_runtime

    runtime = read_runtime(state)
    if runtime is None:
        notes.append("instances and what waits are not known here: kubectl get pods, and each pod's /metrics")
        return {}
    try:
        with urllib.request.urlopen(f"{runtime['endpoints']['admin']}/status", timeout=ANSWER_S) as answer:
            found: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        notes.append(f"the local runtime does not answer: {error}")
        return {}
    return found


def _show(picture: "Picture", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(picture.for_programs()), flush=True)
        return
    lines = list(picture.lines())
    if not sys.stdout.isatty():
        print("\n".join(lines), end="\n\n", flush=True)
        return
    size = shutil.get_terminal_size()
    if len(lines) >= size.lines:
        lines = [*lines[: size.lines - 2], "…"]
    print(CLEAR + "\n".join(line[: size.columns] for line in lines), flush=True)
