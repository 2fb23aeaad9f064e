"""A place for a worker: a small real process stands in for it, and does what the test asks of it."""

import asyncio
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from segmenter.fleet.outbox import MOST_HANDED, Outbox
from segmenter.fleet.slot import START_TIMES, Slot, pause_s
from segmenter.fleet.wire import Message
from segmenter.ingest.handover import Handover
from sluice.contracts.camera import Camera
from sluice.errors import UnavailableError

ROOT = Path(__file__).parent.parent.parent
LONG_S = 15.0
GATE = Camera(name="gate", source="test://")
WORKER = """
import os, socket, sys, time
sys.path.insert(0, ROOT)
from segmenter.fleet.wire import Inbox, send
wire = socket.socket(fileno=int(sys.argv[1]))
inbox = Inbox(wire)
while True:
    try:
        received = inbox.receive(timeout_s=0.05)
    except TimeoutError:
        received = ({}, None)
    if received is None:
        os._exit(0)
    message, handed = received
    if message:
        send(wire, {"got": message, "pid": os.getpid()})
    if handed is not None:
        handed.setblocking(True)
        handed.sendall(b"from the worker")
        handed.close()
    if "leave" in message and message["leave"] is not True:
        send(wire, {"left": message["leave"]})
    name = message.get("run", {}).get("name")
    if name == "crashes":
        os.kill(os.getpid(), 11)
    if name == "hangs" or ("drain" in message and STUBBORN):
        while True:
            time.sleep(1000)
    if name == "babbles":
        wire.sendall(b"this is no message\\n")
    if "drain" in message:
        os._exit(0)
    send(wire, {"report": [{"camera": "gate", "state": "online"}]})
"""


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    """A slot, and what came of it."""

    slot: Slot
    told: list[Message] = field(default_factory=list)
    died: list[str] = field(default_factory=list)

    async def until(self, holds: Callable[[], Any]) -> Any:
        """With a deadline; the loop goes on meanwhile."""
        deadline = time.monotonic() + LONG_S
        while not (found := holds()):
            assert time.monotonic() < deadline, (self.told, self.died)
            await asyncio.sleep(0.005)
        return found

    def got(self, key: str) -> list[Any]:
        """What workers were told, by kind."""
        return [each["got"][key] for each in self.told if key in each.get("got", {})]

    def runs(self) -> list[str]:
        """Cameras that workers were given, in order."""
        return [each["name"] for each in self.got("run")]


def with_slot(
    tmp_path: Path, test: Callable[[Line], Awaitable[None]], *, stubborn: bool = False, **options: Any
) -> Line:
    """Run *test* on a slot in a loop; the slot is ended after it."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER.replace("STUBBORN", str(stubborn)).replace("ROOT", repr(str(ROOT))), "utf-8")
    command = (sys.executable, str(script))

    async def run() -> Line:
        told: list[Message] = []
        died: list[str] = []
        slot = Slot(
            1,
            told=lambda _, message: told.append(message),
            died=lambda _, reason: died.append(reason),
            command=command,
            **options,
        )
        line = Line(slot=slot, told=told, died=died)
        try:
            await asyncio.wait_for(test(line), 4 * LONG_S)
        finally:
            await slot.end(grace_s=0.2 if stubborn else LONG_S)
        return line

    return asyncio.run(run())


def descriptors() -> int:
    """How many this process has open, and not only because nobody has collected them yet."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_worker_that_is_killed_is_back_with_the_same_cameras(tmp_path: Path) -> None:
    """At once the first time; what left goes on leaving."""

    async def test(line: Line) -> None:
        line.slot.give(GATE)
        line.slot.drain("former")
        line.slot.start()
        await line.until(lambda: len(line.runs()) == 2)
        first = line.slot.pid
        assert first
        os.kill(first, signal.SIGKILL)
        killed_s = time.monotonic()
        await line.until(lambda: len(line.runs()) == 4)
        assert time.monotonic() - killed_s < 2.0
        assert line.slot.pid != first

    line = with_slot(tmp_path, test)

    assert line.runs() == ["gate", "former"] * 2
    assert line.died == ["killed by signal 9"]


def test_one_that_dies_again_and_again_waits_longer() -> None:
    """At once the first time; then the machine has others to serve."""
    assert [pause_s(crashes) for crashes in (1, 2, 3, 4, 5, 6, 60)] == [0, 1, 2, 4, 8, 10, 10]


def test_the_end_does_not_wait_for_the_next_start(tmp_path: Path) -> None:
    """Though that is ten seconds away."""

    async def test(line: Line) -> None:
        line.slot.give(Camera(name="crashes"))
        line.slot.crashes.extend([time.monotonic()] * 5)
        line.slot.start()
        await line.until(lambda: line.died)
        began_s = time.monotonic()
        await line.slot.end(grace_s=LONG_S)
        assert time.monotonic() - began_s < pause_s(6) / 2

    line = with_slot(tmp_path, test)

    assert line.died == ["killed by signal 11"]


def test_a_worker_that_hangs_is_killed(tmp_path: Path) -> None:
    """It is not dead, but it reports nothing any longer."""

    async def test(line: Line) -> None:
        line.slot.start()
        await line.until(lambda: line.slot.reports)
        line.slot.give(Camera(name="hangs"))
        await line.until(lambda: line.died)

    line = with_slot(tmp_path, test, stubborn=True, silent_s=1.0)

    assert line.died == ["it hangs: no report for 1 s"]


def test_a_worker_that_starts_slowly_is_given_time(tmp_path: Path) -> None:
    """Several times as much, then it is killed as well."""
    began: list[float] = []

    async def test(line: Line) -> None:
        line.slot.give(Camera(name="hangs"))
        line.slot.start()
        began.append(time.monotonic())
        await line.until(lambda: line.died)
        began.append(time.monotonic())

    with_slot(tmp_path, test, stubborn=True, silent_s=0.4)

    assert began[1] - began[0] > 0.4 * START_TIMES


def test_a_worker_that_reports_is_left_alone(tmp_path: Path) -> None:
    """Longer than it may be silent."""

    async def test(line: Line) -> None:
        line.slot.start()
        await line.until(lambda: line.slot.reports)
        first = line.slot.pid
        for _ in range(8):
            await line.until(lambda: line.slot._missed > 0)
            await line.until(lambda: line.slot._missed == 0)
        assert line.slot.pid == first

    assert with_slot(tmp_path, test, silent_s=1.5).died == []


def test_nonsense_from_a_worker_ends_that_worker(tmp_path: Path) -> None:
    """And not the slot: it begins anew."""

    async def test(line: Line) -> None:
        line.slot.give(Camera(name="babbles"))
        line.slot.start()
        await line.until(lambda: line.died)
        del line.slot.cameras["babbles"]
        line.slot.give(GATE)
        await line.until(lambda: "gate" in line.runs())

    assert "JSONDecodeError" in with_slot(tmp_path, test).died[0]


def test_a_bug_in_who_is_told_ends_nothing(tmp_path: Path) -> None:
    """An event of a type that this version does not know."""

    async def test(line: Line) -> None:
        def told(_: Slot, message: Message) -> None:
            line.told.append(message)
            raise KeyError("a bug")

        line.slot._told = told
        line.slot.start()
        await line.until(lambda: line.slot.reports)
        line.slot.give(GATE)
        line.slot.give(GATE)
        await line.until(lambda: len(line.runs()) == 2)

    assert with_slot(tmp_path, test).died == []


def test_an_end_during_the_start_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is told as soon as it listens, and is given no camera."""
    start = asyncio.create_subprocess_exec

    async def test(line: Line) -> None:
        async def ending(*command: str, **options: Any) -> Any:
            process = await start(*command, **options)
            ends.append(asyncio.create_task(line.slot.end(grace_s=LONG_S)))
            await asyncio.sleep(0)
            return process

        ends: list[asyncio.Task[None]] = []
        monkeypatch.setattr("segmenter.fleet.slot.asyncio.create_subprocess_exec", ending)
        line.slot.give(GATE)
        line.slot.start()
        await line.until(lambda: ends)
        began_s = time.monotonic()
        await ends[0]
        assert time.monotonic() - began_s < LONG_S

    line = with_slot(tmp_path, test)

    assert line.slot.pid is None
    assert line.runs() == []


def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    """In the time it was given."""
    pids: list[int] = []

    async def test(line: Line) -> None:
        line.slot.give(GATE)
        line.slot.start()
        await line.until(line.runs)
        assert line.slot.pid
        pids.append(line.slot.pid)

    line = with_slot(tmp_path, test, stubborn=True)

    assert line.died == []
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """No process left on the machine, for a while."""

    async def test(line: Line) -> None:
        command, line.slot._command = line.slot._command, (str(tmp_path / "missing"),)
        line.slot.give(GATE)
        line.slot.start()
        await line.until(lambda: line.died)
        line.slot._command = command
        await line.until(line.runs)

    assert "FileNotFoundError" in with_slot(tmp_path, test).died[0]


def test_who_leaves_is_forgotten_when_the_worker_says_so(tmp_path: Path) -> None:
    """Not before."""

    async def test(line: Line) -> None:
        line.slot.give(GATE)
        line.slot.start()
        await line.until(lambda: line.slot.reports)
        line.slot.take("gate", "removed")
        assert not line.slot.is_empty
        await line.until(lambda: line.slot.is_empty)

    assert with_slot(tmp_path, test).got("leave") == ["gate"]


def test_connections_are_handed_over(tmp_path: Path) -> None:
    """Each to the worker, and none is left open here."""

    async def test(line: Line) -> None:
        line.slot.give(GATE)
        with socket.socket() as early, pytest.raises(UnavailableError):
            line.slot.push(Handover(camera="gate", protocol="http", peer="x"), early)
        line.slot.start()
        await line.until(line.runs)
        before = descriptors()
        for _ in range(5):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            line.slot.push(Handover(camera="gate", protocol="http", peer="x"), theirs)
            assert await asyncio.get_running_loop().sock_recv(ours, 64) == b"from the worker"
            ours.close()
        await line.until(lambda: descriptors() == before)

    assert len(with_slot(tmp_path, test).got("push")) == 5


def test_what_a_worker_cannot_take_is_closed_with_it() -> None:
    """It hangs: posting goes on, up to a bound, and the sockets do not outlive it."""
    before = descriptors()

    async def test() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        outbox = Outbox(ours)
        sending = asyncio.create_task(outbox.send())
        outbox.post({"pad": "x" * (1 << 20)})
        for _ in range(MOST_HANDED):
            outbox.post({"push": {}, "handed": True}, socket.socket())
        one_more = socket.socket()
        with pytest.raises(UnavailableError):
            outbox.post({"push": {}, "handed": True}, one_more)
        one_more.close()
        outbox.post({"drain": True})
        await asyncio.sleep(0)
        theirs.close()
        await asyncio.wait_for(sending, LONG_S)
        outbox.close()
        ours.close()

    asyncio.run(test())

    assert descriptors() == before


def test_a_connection_that_cannot_be_handed_over_costs_itself(tmp_path: Path) -> None:
    """What is posted behind it arrives."""

    async def test(line: Line) -> None:
        line.slot.start()
        await line.until(lambda: line.slot.reports)
        closed = socket.socket()
        closed.close()
        line.slot.push(Handover(camera="gate", protocol="http", peer="x"), closed)
        line.slot.give(GATE)
        await line.until(line.runs)

    line = with_slot(tmp_path, test)

    assert line.got("push") == []
    assert line.died == []


def test_a_wire_that_takes_nothing_is_an_end_for_both_directions() -> None:
    """Else a worker would go on that nobody can tell anything."""

    async def test() -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.shutdown(socket.SHUT_RD)
            outbox = Outbox(ours)
            outbox.post({"drain": True})
            await asyncio.wait_for(outbox.send(), LONG_S)
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1), LONG_S)

    assert asyncio.run(test()) == b""
