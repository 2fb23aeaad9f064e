"""`sluice demo`: start everything, feed three cameras, show the events."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sluice import events
from sluice.bus import Bus, Message, Subscription
from sluice.cameras import create, remove
from sluice.cli.lines import line
from sluice.cli.play import gateway_url, links
from sluice.contracts.camera import Camera, Work
from sluice.contracts.playlist import PlaylistUpdated
from sluice.errors import ConflictError, InvalidEventError, SluiceError, UnavailableError
from sluice.local.administrator import Administrator, administrator
from sluice.local.state import read_runtime
from sluice.local.tools import INSTALL, find_data, find_triton
from sluice.names import parse_subject
from sluice.topology import RESULTS, Consumer

READY_S: Final = 120
EVENTS_S: Final = 120
PATTERN: Final = "test://?size=640x360&fps=25&gop=50&bf=2&audio=1"
Wanted: TypeAlias = tuple[str, str]
"""A camera, and the kind of event that it must show."""
MODELS: Final = {"pattern": "squares", "carphone": "faces", "street": "objects"}
CLIPS: Final = {"carphone": "carphone_pristine.mp4", "street": "bikes.mp4"}
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
        mine = ends.enter_context(administrator(options.state))
        mine.bus.ensure([RESULTS], [WATCHER], [])
        watcher = mine.bus.subscribe(WATCHER)
        before = _drained(watcher)
        cameras = _cameras()
        added = _added(mine, cameras)
        ends.callback(_remove, mine, added)
        for name in sorted(set(cameras) - set(added)):
            print(f"{name}: is there already")
        # A camera that runs was inspected when it began.
        shown = {_print(message) for name, message in before.items() if name in cameras and name not in added}
        wanted = _wanted(cameras.values(), options.state)
        missing = _show(watcher, wanted - shown, deadline=time.monotonic() + EVENTS_S)
        if missing:
            lacking = ", ".join(f"{camera} ({kind})" for camera, kind in sorted(missing))
            print(f"no event came for {lacking}: see sluice camera list, sluice deadletter list")
            return 1
        _print_links(mine, options.state, cameras)
        if not options.once:
            _show_for_ever(mine.bus, watcher, options.state)
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


def _cameras() -> dict[str, Camera]:
    """A test pattern, and the clips that could be fetched, each in a loop."""
    found = {name: find_data(clip) for name, clip in CLIPS.items()}
    for name in [each for each, path in found.items() if path is None]:
        print(f"{name}: no clip {CLIPS[name]}, skipped; {INSTALL}")
    sources = {name: f"file:{path}?loop=1" for name, path in found.items() if path} | {"pattern": PATTERN}
    return {
        name: Camera(name=name, source=source, functions={"detect": (Work(model=MODELS[name]),)})
        for name, source in sources.items()
    }


def _wanted(cameras: Iterable[Camera], state: Path) -> set[Wanted]:
    """What has to be seen: each camera's inspection, and detections where the local Triton has the model."""
    served = {path.parent.name for path in (state / "data" / "models").glob("*/config.pbtxt")}
    with_models = find_triton() is not None
    return {(each.name, "health") for each in cameras} | {
        (each.name, "detections")
        for each in cameras
        if with_models and {work.model for work in each.functions["detect"]} <= served
    }


def _added(mine: Administrator, wanted: Mapping[str, Camera]) -> list[str]:
    """The names of those that were not there."""
    added = []
    for name, camera in wanted.items():
        with contextlib.suppress(ConflictError):
            create(mine.store, mine.bus, camera)
            print(f"{name}: added, {camera.source.partition('?')[0]}")
            added.append(name)
    return added


def _remove(mine: Administrator, added: Sequence[str]) -> None:
    """What was recorded stays; a camera that comes again begins a session, and that is what the demo shows."""
    with contextlib.suppress(UnavailableError):
        for name in added:
            remove(mine.store, mine.bus, name)


def _drained(watcher: Subscription) -> dict[str, Message]:
    """What was there already; the newest inspection of each camera."""
    newest = {}
    while messages := watcher.fetch(100, wait_s=0.2):
        for message in messages:
            kind, camera = parse_subject(message.subject)
            if kind == "health":
                newest[camera] = message
            message.ack()
    return newest


def _show(watcher: Subscription, wanted: set[Wanted], *, deadline: float) -> set[Wanted]:
    """Print events until each that is wanted has come; those that have not in time."""
    while wanted and time.monotonic() < deadline:
        for message in watcher.fetch(10, wait_s=1):
            message.ack()
            wanted.discard(_shown(message))
    return wanted


def _print_links(mine: Administrator, state: Path, cameras: Iterable[str]) -> None:
    """Where each can be watched; nothing where the manifests have no gateway."""
    try:
        gateway = gateway_url(state)
    except SluiceError:
        return
    print()
    for camera in cameras:
        print(f"watch {camera:10} {links(mine.store, gateway, camera)['watch']}")


def _show_for_ever(bus: Bus, watcher: Subscription, state: Path) -> None:
    print(f"\nIt stays up until Ctrl-C. In another terminal: sluice top, events, camera list (each --state {state})")
    while True:
        try:
            for message in watcher.fetch(10, wait_s=5):
                message.ack()
                _shown(message)
        except UnavailableError as error:
            print(f"{error}; trying again")
            bus.ensure([RESULTS], [WATCHER], [])


def _shown(message: Message) -> Wanted:
    """Print it, unless it says only that all goes well: a playlist grows with each chunk."""
    kind, camera = parse_subject(message.subject)
    return (camera, kind) if kind == PlaylistUpdated.KIND else _print(message)


def _print(message: Message) -> Wanted:
    """One line an event; returns its camera and kind."""
    try:
        kind = events.CONTRACTS[events.peek(message.headers, message.payload)["type"]]
        event = events.from_nats(message.headers, message.payload, kind)
    except (InvalidEventError, KeyError) as error:
        print(f"{message.subject}: unreadable: {error}")
        return "", ""
    print(line(event))
    return event.subject, event.data.KIND
