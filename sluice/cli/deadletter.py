"""`sluice deadletter`: what could not be delivered, and sending it again."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import SettingsError
from sluice.local.state import running

if TYPE_CHECKING:
    from sluice.local.deadletters import DeadLetter, DeadLetters


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("deadletter", help="list, show or replay events that could not be delivered")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, about in (
        ("list", "number, trigger, event and reason of each"),
        ("show", "one of them, whole"),
        ("replay", "post it to the Broker again; it is forgotten once the Broker has it"),
    ):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("--state", type=Path, default=argparse.SUPPRESS, help="state folder (default .sluice)")
        verb.set_defaults(run=run, verb=name)
        if name == "show":
            verb.add_argument("number", type=int, metavar="NUMBER")
        if name == "replay":
            verb.add_argument("numbers", type=int, nargs="*", metavar="NUMBER")
            verb.add_argument("--all", action="store_true", help="every dead letter")
            verb.add_argument("--broker", metavar="NAME", help="the Broker, if there are several")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")


def run(options: argparse.Namespace) -> int:
    """Connect as the administrator and do it."""
    return asyncio.run(_run(options, running(options.state)["endpoints"]))


async def _run(options: argparse.Namespace, endpoints: dict[str, Any]) -> int:
    from sluice.local.deadletters import opened
    from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, load_or_create

    admin = load_or_create(options.state / "secrets").part("admin")
    async with opened(endpoints["nats"], admin[NATS_USER], admin[NATS_PASSWORD]) as letters:
        if options.verb == "list":
            async for each in letters.all():
                print(_line(each))
        elif options.verb == "show":
            _show(await letters.get(options.number))
        else:
            await _replay(letters, options, _broker(options, endpoints["brokers"]))
    return 0


def _line(letter: "DeadLetter") -> str:
    event = letter.event.attributes
    reason = " ".join(letter.reason.split())[:120]
    return f"{letter.number} {letter.trigger} {event['type']} {event.get('subject', '-')} {event['id']} {reason}"


def _show(letter: "DeadLetter") -> None:
    print(json.dumps(dict(letter.event.attributes), indent=1))
    print(letter.event.data.decode("utf-8", "replace"))
    print(f"\n{letter.reason}")


async def _replay(letters: "DeadLetters", options: argparse.Namespace, broker: str) -> None:
    if not options.all and not options.numbers:
        raise SettingsError(("name dead letters by number, or say --all",))
    # Chosen before the first is sent: one that fails again comes back under a new number.
    chosen = [each async for each in letters.all()] if options.all else [await letters.get(n) for n in options.numbers]
    for letter in chosen:
        await letters.replay(letter, broker)
        print(f"replayed {_line(letter)}")


def _broker(options: argparse.Namespace, brokers: dict[str, str]) -> str:
    name = getattr(options, "broker", None) or (next(iter(brokers)) if len(brokers) == 1 else "")
    if options.verb == "replay" and name not in brokers:
        raise SettingsError((f"name the Broker by --broker: there are {', '.join(brokers) or 'none'}",))
    return brokers.get(name, "")
