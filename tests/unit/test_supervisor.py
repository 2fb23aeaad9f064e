"""The process that knows every camera goes on whatever fails in it, and ends when it is told."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from segmenter.fleet.supervisor import Supervisor
from segmenter.ingest.handover import Handover
from segmenter.settings import SegmenterSettings
from sluice import cameras
from sluice.contracts.camera import Camera
from sluice.errors import SettingsError, UnavailableError
from sluice.names import camera_key
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore

LONG_S = 10.0
PUSH_KEY = "a-key-of-the-tests-0123456789abcdef"
GATE = Camera(name="gate", push_key=cameras.hashed_key(PUSH_KEY))


class FakeFleet:
    """Does nothing, or fails; remembers what it was asked."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Camera]] = []
        self.left_behind: list[str] = []
        self.pushed: list[Handover] = []
        self.failing = 0
        self.ended = False
        self.reported: list[dict[str, Any]] = []

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        """See Fleet."""
        self.applied.append(dict(wanted))
        if self.failing:
            self.failing -= 1
            raise KeyError("a bug")

    def leave_behind(self, name: str) -> None:
        """See Fleet."""
        self.left_behind.append(name)

    def push(self, handover: Handover, sender: socket.socket) -> None:
        """See Fleet."""
        sender.close()
        self.pushed.append(handover)

    async def end(self, *, grace_s: float) -> None:
        """See Fleet."""
        assert grace_s > 0
        self.ended = True
        if self.failing:
            raise KeyError("a bug")

    def reports(self) -> Iterator[dict[str, Any]]:
        """See Fleet."""
        return iter(self.reported)

    def workers(self) -> Iterator[tuple[int, int | None, int, int]]:
        """See Fleet."""
        return iter([])


class Line:
    """A supervisor and those around it."""

    def __init__(self, spool: Path) -> None:
        self.store, self.bus, self.fleet = MemoryStore(), MemoryBus(), FakeFleet()
        settings = SegmenterSettings(port=0, rtmp_port=0, host="127.0.0.1", spool=str(spool), refresh_s=0.05)
        self.supervisor = Supervisor(settings, self.store, self.bus)
        vars(self.supervisor)["_fleet"] = self.fleet  # no processes

    def save(self, *wanted: Camera) -> None:
        """As an operator does."""
        for camera in wanted:
            assert cameras.save(self.store, self.bus, camera) is None

    async def until(self, holds: Callable[[], Any]) -> None:
        """With a deadline."""
        async with asyncio.timeout(LONG_S):
            while not holds():
                await asyncio.sleep(0.005)

    def page(self, path: str) -> tuple[int, str]:
        """What a GET would show."""
        page = self.supervisor._pages()[path]()
        return page.status, page.body.decode()


def supervised(spool: Path, test: Callable[[Line], Awaitable[None]], *, alone: bool = False) -> Line:
    """Run *test* beside a supervisor, then end that by a signal."""

    async def run() -> Line:
        line = Line(spool)
        line.store.down, line.bus.available = alone, not alone
        running = asyncio.create_task(line.supervisor.run())
        try:
            await asyncio.wait_for(test(line), 3 * LONG_S)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(running, LONG_S)
        return line

    return asyncio.run(run())


def test_cameras_are_followed(tmp_path: Path) -> None:
    """Readiness waits for the first answer only."""

    async def test(line: Line) -> None:
        line.save(GATE)
        await line.until(lambda: {"gate": GATE} in line.fleet.applied)
        assert line.page("/health/readiness")[0] == 200
        assert line.page("/health/liveness")[0] == 200
        cameras.remove(line.store, line.bus, "gate")
        await line.until(lambda: line.fleet.applied[-1] == {})

    assert supervised(tmp_path, test).fleet.ended


def test_nothing_known_is_not_ready(tmp_path: Path) -> None:
    """Neither store nor NATS answers, and there is no cache."""

    async def test(line: Line) -> None:
        assert line.page("/health/readiness")[0] == 503
        assert line.page("/health/liveness")[0] == 200
        line.store.down = False
        await line.until(lambda: line.page("/health/readiness")[0] == 200)

    supervised(tmp_path, test, alone=True)


def test_a_change_that_cannot_be_followed_does_not_end_the_following(tmp_path: Path) -> None:
    """The next one is."""

    async def test(line: Line) -> None:
        line.fleet.failing = 1
        line.save(GATE)
        await line.until(lambda: line.fleet.applied)
        yard = Camera(name="yard", source="rtsp://camera/1")
        line.save(yard)
        await line.until(lambda: line.fleet.applied[-1] == {"gate": GATE, "yard": yard})

    supervised(tmp_path, test)


def test_whatever_fails_at_the_end_it_ends(tmp_path: Path) -> None:
    """With status 0: run() returns."""

    async def test(line: Line) -> None:
        await line.until(lambda: line.fleet.applied)
        line.fleet.failing = 9

    assert supervised(tmp_path, test).fleet.ended


def test_folders_of_cameras_that_are_gone_are_drained_once(tmp_path: Path) -> None:
    """Of those that are wanted nothing is left behind."""
    for name in ("former", "gate"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "owner").touch()

    async def test(line: Line) -> None:
        line.save(GATE)
        await line.until(lambda: {"gate": GATE} in line.fleet.applied)
        line.save(Camera(name="yard", source="rtsp://camera/1"))
        await line.until(lambda: "yard" in line.fleet.applied[-1])

    found = supervised(tmp_path, test).fleet.left_behind

    assert found.count("former") == 1


def test_a_push_needs_the_cameras_key(tmp_path: Path) -> None:
    """And a camera that is not paused; who may not push learns nothing."""
    ours, theirs = socket.socketpair()

    async def test(line: Line) -> None:
        line.save(GATE, Camera(name="idle", push_key=GATE.push_key, paused=True))
        await line.until(lambda: line.fleet.applied and len(line.fleet.applied[-1]) == 2)
        admit = line.supervisor._admit
        assert admit("gate", PUSH_KEY)
        assert not admit("gate", "x" * 20)
        assert not admit("nobody", PUSH_KEY)
        with pytest.raises(UnavailableError):
            line.supervisor._hand_over(Handover(camera="idle", protocol="http", peer="here"), ours)
        line.supervisor._hand_over(Handover(camera="gate", protocol="http", peer="here"), theirs)

    line = supervised(tmp_path, test)

    assert [each.camera for each in line.fleet.pushed] == ["gate"]
    ours.close()


def test_pages_show_every_camera_that_is_configured(tmp_path: Path) -> None:
    """Also one whose object cannot be read, and one that no worker has spoken of."""

    async def test(line: Line) -> None:
        line.save(GATE)
        line.store.put(camera_key("broken"), b"{ half")
        await line.until(lambda: line.supervisor._roster.problems and line.fleet.applied)
        line.fleet.reported = [{"camera": "gate", "state": "online"}]
        cameras_page, metrics = line.page("/cameras")[1], line.page("/metrics")[1]
        assert '"camera": "broken"' in cameras_page
        assert '"state": "online"' in cameras_page
        assert 'sluice_camera_state{camera="broken",state="offline"} 1' in metrics

    supervised(tmp_path, test)


def test_a_port_that_is_taken_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    """One sentence, and status 1."""

    async def run(port: int) -> None:
        settings = SegmenterSettings(port=port, rtmp_port=0, host="127.0.0.1", spool=str(tmp_path))
        await Supervisor(settings, MemoryStore(), MemoryBus()).run()

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError):
        asyncio.run(run(taken.getsockname()[1]))


def test_a_spool_that_cannot_be_made_is_a_setting_that_is_wrong(tmp_path: Path) -> None:
    """It says which."""
    (tmp_path / "file").touch()

    async def run() -> None:
        settings = SegmenterSettings(port=0, rtmp_port=0, host="127.0.0.1", spool=str(tmp_path / "file" / "spool"))
        with contextlib.suppress(asyncio.CancelledError):
            await Supervisor(settings, MemoryStore(), MemoryBus()).run()

    with pytest.raises(SettingsError, match="SLUICE_SPOOL"):
        asyncio.run(run())
