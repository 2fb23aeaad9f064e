"""`sluice deadletter`: what could not be delivered, and sending it again."""

import argparse
import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.errors import SettingsError, SluiceError
from sluice.settings import BusSettings, load, setting

if TYPE_CHECKING:
    from sluice.local.deadletters import DeadLetter, DeadLetters


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where the commands find the Broker of a cluster; the local runtime knows its own."""

    url: str = setting("SLUICE_BROKER_URL", "the Broker, for the command line, as http(s)://host/namespace/name", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """Where dead letters lie, and the Brokers, by name, that they may go back to."""

    bus: BusSettings
    brokers: Mapping[str, str]


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
    return asyncio.run(_run(options, _servers(options.state)))


def _servers(state: Path) -> _Servers:
    """Those of the local runtime in *state*, else those that the environment names."""
    from sluice.local.state import read_runtime

    runtime = read_runtime(state)
    if runtime is None:
        try:
            bus, broker = load(BusSettings), load(BrokerAddress)
        except SettingsError as error:
            problems = "; ".join(error.problems)
            raise SluiceError(f"no runtime runs in {state} (sluice up), and no cluster is named: {problems}") from error
        return _Servers(bus=bus, brokers={"SLUICE_BROKER_URL": broker.url} if broker.url else {})
    from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, load_or_create

    admin, endpoints = load_or_create(state / "secrets").part("admin"), runtime["endpoints"]
    bus = BusSettings(url=endpoints["nats"], user=admin[NATS_USER], password=admin[NATS_PASSWORD])
    return _Servers(bus=bus, brokers=endpoints["brokers"])


async def _run(options: argparse.Namespace, servers: _Servers) -> int:
    from sluice.local.deadletters import opened

    async with opened(servers.bus.url, servers.bus.user, servers.bus.password) as letters:
        if options.verb == "list":
            async for each in letters.all():
                print(_line(each))
        elif options.verb == "show":
            _show(await letters.get(options.number))
        else:
            await _replay(letters, options, _broker(options, servers.brokers))
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


def _broker(options: argparse.Namespace, brokers: Mapping[str, str]) -> str:
    name = getattr(options, "broker", None) or (next(iter(brokers)) if len(brokers) == 1 else "")
    if options.verb == "replay" and name not in brokers:
        known = ", ".join(brokers) or "none; in a cluster SLUICE_BROKER_URL names one"
        raise SettingsError((f"name the Broker by --broker: there are {known}",))
    return brokers.get(name, "")
