"""`sluice demo`: start everything, feed three cameras, show the events."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sluice import events
from sluice.bus import Bus, Message, NatsBus, Subscription
from sluice.errors import InvalidEventError, UnavailableError
from sluice.local.program import inherited
from sluice.local.state import read_runtime
from sluice.local.tools import data_home
from sluice.preparation.secrets import Secrets, load_or_create
from sluice.settings import BusSettings
from sluice.topology import RESULTS, Consumer

READY_S: Final = 120
EVENTS_S: Final = 120
CAMERAS: Final = ("pattern", "carphone", "street")
WATCHER: Final = Consumer(
    # Two demos on one runtime each see everything, and leave nothing behind.
    stream=RESULTS.name,
    name=f"demo-{os.getpid()}",
    filter_subject="sluice.v1.*.*",
    inactive_s=60,
)


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("demo", help="start everything, feed three cameras, show the events")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.add_argument("--once", action="store_true", help="end with status 0 once each camera's event has come")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start, feed, show; what was started is stopped at the end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell that starts us in the background has us ignore the first; the second has to end all in order too.
        signal.signal(number, signal.default_int_handler)
    with _runtime(options.state), contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as ends:
        runtime = _running(options.state)
        secrets = load_or_create(options.state / "secrets")
        bus = _bus(runtime, secrets)
        ends.callback(bus.close)
        bus.ensure([RESULTS], [WATCHER], [])
        watcher = bus.subscribe(WATCHER)
        _drain(watcher)
        fed = _feed(runtime, secrets)
        missing = _show(watcher, set(fed), deadline=time.monotonic() + EVENTS_S)
        if missing:
            print(f"no event came for {', '.join(sorted(missing))}: see sluice logs inspect, sluice deadletter list")
            return 1
        if not options.once:
            _show_for_ever(bus, watcher, options.state)
    return 0


@contextlib.contextmanager
def _runtime(state: Path) -> Iterator[None]:
    """A running runtime: the one that is there, else one of our own."""
    if _is_ready(state):
        print(f"using the runtime that runs in {state}")
        yield
        return
    command = [sys.executable, "-m", "sluice.cli.main", "up", "--state", str(state)]
    # A session of its own: Ctrl-C reaches us first, and we end it in order.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_S
        while not _is_ready(state, process.pid):
            if process.poll() is not None:
                raise UnavailableError("the local runtime", "it ended at its start, as said above")
            if time.monotonic() > deadline:
                raise UnavailableError("the local runtime", f"not ready after {READY_S} s, see {state}/logs")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def _is_ready(state: Path, pid: int | None = None) -> bool:
    found = read_runtime(state)
    return found is not None and bool(found.get("ready")) and pid in (None, found["pid"])


def _running(state: Path) -> dict[str, Any]:
    found = read_runtime(state)
    if found is None:
        raise UnavailableError("the local runtime", f"it ended, see {state}/logs")
    return found


def _bus(runtime: dict[str, Any], secrets: Secrets) -> NatsBus:
    mine = secrets.part("admin")
    return NatsBus(
        BusSettings(
            url=runtime["endpoints"]["nats"], user=mine["SLUICE_NATS_USER"], password=mine["SLUICE_NATS_PASSWORD"]
        ),
        name="demo",
    )


def _feed(runtime: dict[str, Any], secrets: Secrets) -> list[str]:
    """Put one opening chunk a camera, with the segmenter's rights; the names of the cameras that were fed."""
    environment = {**inherited(), **runtime["configmap"], **secrets.part("segmenter")}
    command = [sys.executable, "-m", "segmenter.demo", "--clips", str(data_home())]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    return [camera for camera in CAMERAS if f"chunks/{camera}/" in done.stdout]


def _drain(watcher: Subscription) -> None:
    while messages := watcher.fetch(100, wait_s=0.2):
        for message in messages:
            message.ack()


def _show(watcher: Subscription, wanted: set[str], *, deadline: float) -> set[str]:
    """Print events until each wanted camera had one; the cameras that had none in time."""
    while wanted and time.monotonic() < deadline:
        for message in watcher.fetch(10, wait_s=1):
            wanted.discard(_print(message))
    return wanted


def _show_for_ever(bus: Bus, watcher: Subscription, state: Path) -> None:
    print(f"\nIt stays up until Ctrl-C. In another terminal: sluice status --state {state}")
    while True:
        try:
            for message in watcher.fetch(10, wait_s=5):
                _print(message)
        except UnavailableError as error:
            print(f"{error}; trying again")
            bus.ensure([RESULTS], [WATCHER], [])


def _print(message: Message) -> str:
    """One line an event; returns its camera."""
    message.ack()
    try:
        kind = events.CONTRACTS[events.peek(message.headers, message.payload)["type"]]
        event = events.from_nats(message.headers, message.payload, kind)
    except (InvalidEventError, KeyError) as error:
        print(f"{message.subject}: unreadable: {error}")
        return ""
    print(f"{event.time:%H:%M:%S.%f}"[:-3], event.type, f"{event.subject:10}", _summary(event.data))
    return event.subject


def _summary(data: Any) -> str:
    video = getattr(data, "video", None)
    if video is None:
        return f"expected {data.expected}, found {data.found}" if hasattr(data, "expected") else ""
    advice = [f"\n    {each.severity} {each.code}: {each.text}" for each in data.advice]
    return f"{video.codec} {video.width}x{video.height} {video.fps:g} fps" + "".join(advice)
