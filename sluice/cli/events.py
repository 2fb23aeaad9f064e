"""`sluice events`: what comes from cameras and functions, as it comes and as it came."""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.cli.times import ago
from sluice.errors import InvalidEventError, SluiceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sluice.bus import Message

EXAMPLES: Final = """\
examples:
  sluice events                                    the last minute, and what comes
  sluice events --camera gate --kind detections --since 10m
  sluice events --since 1h --no-follow --json | jq .data.frames
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "events",
        help="follow events, or show those of the last hours",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--camera", action="append", default=[], metavar="C", help="of this camera; may be given again")
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="K",
        help="chunks, cameras, detections, health, rejected …; may be given again",
    )
    parser.add_argument("--since", type=ago, default="1m", metavar="10m", help="begin so long ago (default 1m)")
    parser.add_argument(
        "--follow", action=argparse.BooleanOptionalAction, default=True, help="wait for what comes (default)"
    )
    parser.add_argument("--json", action="store_true", help="a CloudEvent as JSON a line, for programs")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show each event once, in the order in which the streams took them."""
    from sluice.following import follow
    from sluice.local.administrator import administrator
    from sluice.selection import streams_of

    wanted = streams_of(options.kind, options.camera)
    began = datetime.now(UTC)
    with administrator(options.state) as admin:
        lost = _warn if options.follow else None
        flow = follow(admin.bus, wanted, since=began - options.since, lost=lost)
        for message in flow if options.follow else _until(began, flow):
            if message is not None:
                _show(message, as_json=options.json)
    return 0


def _until(end: datetime, flow: "Iterator[Message | None]") -> "Iterator[Message]":
    """Up to the first moment without more, or what came while we looked: a busy stream has no such moment."""
    for message in flow:
        if message is None or message.stored_at > end:
            return
        yield message


def _show(message: "Message", *, as_json: bool) -> None:
    try:
        print(_json(message) if as_json else _line(message), flush=True)
    except (InvalidEventError, json.JSONDecodeError) as error:
        print(f"{message.subject}: unreadable: {error}", file=sys.stderr)


def _json(message: "Message") -> str:
    from sluice import events

    attributes = events.peek(message.headers, message.payload)
    if kind := events.CONTRACTS.get(attributes["type"]):
        return events.to_structured(events.from_nats(message.headers, message.payload, kind)).decode()
    # Of a newer Sluice: handed on as it came.
    return json.dumps({**attributes, "data": json.loads(message.payload)})


def _line(message: "Message") -> str:
    from sluice import events
    from sluice.cli.lines import line

    attributes = events.peek(message.headers, message.payload)
    kind = events.CONTRACTS.get(attributes["type"])
    if kind is None:
        return f"{attributes.get('time', '')} {message.subject} {attributes['type']}: unknown here"
    shown = line(events.from_nats(message.headers, message.payload, kind))
    # What a camera says must not drive the operator's terminal.
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in shown)


def _warn(error: SluiceError) -> None:
    print(f"{error}; trying again", file=sys.stderr, flush=True)
