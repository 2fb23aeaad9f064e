"""A worker does what it is told, whatever one of its cameras does; when nobody tells it anything any longer it ends."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from segmenter.fleet.channel import Services
from segmenter.fleet.uploads import Uploads
from segmenter.fleet.wire import Inbox, Message, send
from segmenter.fleet.worker import Worker
from segmenter.ingest.handover import Handover
from segmenter.source import Source
from segmenter.spool import Limits, Spool
from segmenter.timeline import Clock
from sluice.contracts.camera import Camera
from sluice.names import CHUNKS
from sluice.testing.store import MemoryStore
from tests.scripted import Hanging

LONG_S = 10.0
GATE = Camera(name="gate", source="test://")


@dataclass(kw_only=True, eq=False)
class Line:
    """A worker in a thread, and its supervisor's end of the wire."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    drain_s: float = 3.0
    sources: list[Any] = field(default_factory=list)
    make: Callable[[], Source] = Hanging
    said: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wire, self.theirs = socket.socketpair()
        self.inbox = Inbox(self.wire)

    def start(self) -> None:
        """Begin to serve."""
        services = Services(
            store=self.store,
            uploads=Uploads(threads=2),
            clock=Clock(),
            spools=self.folder,
            limits=Limits(),
            source_of=self._source_of,
            tell=self._tell,
        )
        self.worker = Worker(self.theirs, services, drain_s=self.drain_s)
        self.thread = threading.Thread(target=self.worker.run, daemon=True)
        self.thread.start()

    def _tell(self, event: Any) -> None:
        self.worker.tell(event)

    def _source_of(self, camera: Camera) -> Source:
        if camera.source.endswith("bug"):
            raise KeyError("a bug in a source")
        source = self.make()
        self.sources.append(source)
        return source

    def run(self, camera: Camera, **more: Any) -> None:
        """Give it a camera."""
        send(self.wire, {"run": msgspec.to_builtins(camera), **more})

    def until(self, holds: Callable[[Message], Any]) -> Any:
        """The first true answer about what it says from now on."""
        deadline = time.monotonic() + LONG_S
        while time.monotonic() < deadline:
            with suppress(TimeoutError):
                received = self.inbox.receive(timeout_s=0.2)
                assert received, "it ended"
                self.said.append(received[0])
                if found := holds(received[0]):
                    return found
        pytest.fail(f"{self.said}")

    def state(self, camera: str, state: str) -> None:
        """Until it reports that."""
        self.until(lambda each: (camera, state) in [(r["camera"], r["state"]) for r in each.get("report", ())])

    def ends(self) -> float:
        """How long it takes from now on."""
        began_s = time.monotonic()
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()
        return time.monotonic() - began_s

    def stored(self) -> int:
        """Chunks."""
        return sum(1 for _ in self.store.list(CHUNKS))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Not started yet; it reports often."""
    monkeypatch.setattr("segmenter.fleet.worker.TICK_S", 0.05)
    line = Line(folder=tmp_path)
    yield line
    line.wire.close()
    line.thread.join(LONG_S)
    line.theirs.close()


def test_it_uploads_what_is_open_when_it_is_told_to_end(line: Line) -> None:
    """And says why its cameras are offline."""
    line.start()
    line.run(GATE)
    line.state("gate", "connecting")
    assert line.sources[0].reached.wait(LONG_S)

    send(line.wire, {"drain": True})

    assert line.ends() < line.drain_s
    assert line.stored() >= 1
    assert not list(line.folder.glob("*/*.cut"))


def test_it_ends_when_the_supervisor_is_gone(line: Line) -> None:
    """Killed, so nothing was said; the spool is free for the next."""
    line.start()
    line.run(GATE)
    line.state("gate", "connecting")
    assert line.sources[0].reached.wait(LONG_S)

    line.wire.close()

    line.ends()
    assert line.stored() >= 1
    Spool(line.folder / "gate").close()


def test_with_the_store_away_it_ends_in_time_all_the_same(line: Line) -> None:
    """What is left stays in the spool."""
    line.drain_s = 0.3
    line.start()
    line.run(GATE)
    line.state("gate", "connecting")
    assert line.sources[0].reached.wait(LONG_S)
    line.store.down = True

    send(line.wire, {"drain": True})

    assert line.ends() < 2.0
    assert list(line.folder.glob("gate/*.cut"))


def test_a_bug_of_one_camera_leaves_the_others_alone(line: Line) -> None:
    """Its source cannot even be made; what nobody understands is passed over."""
    line.start()
    line.run(replace(GATE, name="broken", source="test://bug"))
    send(line.wire, {"run": {"name": 3}})
    send(line.wire, {"unheard": "of"})

    line.run(GATE)

    line.state("gate", "connecting")
    assert line.thread.is_alive()


def test_a_camera_that_leaves_is_drained_first(line: Line) -> None:
    """Then its folder is removed, and the supervisor is told."""
    line.store.down = True
    line.start()
    line.run(GATE)
    line.state("gate", "connecting")
    assert line.sources[0].reached.wait(LONG_S)
    send(line.wire, {"leave": "gate", "reason": "removed"})
    line.until(lambda each: any(r["camera"] == "gate" and r["reason"] == "removed" for r in each.get("report", ())))

    line.store.down = False

    line.until(lambda each: each.get("left") == "gate")
    assert not any("left" in each for each in line.said[:-1])
    assert line.stored() >= 1
    assert not (line.folder / "gate").exists()


def test_a_camera_that_comes_back_at_once_is_read_again(line: Line) -> None:
    """Whether its former channel is still there, closes, or is gone."""
    line.start()
    for _ in range(3):
        line.run(GATE)
        line.state("gate", "connecting")
        send(line.wire, {"leave": "gate", "reason": "removed"})
        line.run(GATE)
        line.state("gate", "connecting")
        send(line.wire, {"leave": "gate", "reason": "removed"})
        line.until(lambda each: each.get("left") == "gate")

    line.run(GATE)

    line.state("gate", "connecting")


def test_what_another_process_still_holds_is_waited_for(line: Line) -> None:
    """The worker before drains; a camera that leaves meanwhile is drained afterwards, not read."""
    held, former = Spool(line.folder / "gate"), Spool(line.folder / "former")
    line.start()
    line.run(GATE)
    line.run(Camera(name="former", paused=True), leave=True)
    line.run(replace(GATE, name="yard"))
    line.state("yard", "connecting")
    assert not any(r["camera"] != "yard" for each in line.said for r in each.get("report", ()))

    held.close()
    former.close()

    line.until(lambda each: each.get("left") == "former")
    line.state("gate", "connecting")
    assert not (line.folder / "former").exists()
    assert len(line.sources) == 2


def test_a_camera_that_is_not_known_has_left(line: Line) -> None:
    """The supervisor waits for nobody in vain."""
    line.start()

    send(line.wire, {"leave": "nobody", "reason": "removed"})

    line.until(lambda each: each.get("left") == "nobody")


def test_a_push_for_a_camera_that_takes_none_is_closed(line: Line) -> None:
    """It was paused meanwhile, or is pulled now: the peer sees the end and comes again."""
    line.start()
    line.run(GATE)
    line.state("gate", "connecting")

    for name in ("gate", "nobody"):
        ours, theirs = socket.socketpair()
        handover = msgspec.to_builtins(Handover(camera=name, protocol="http", peer="here"))
        with ours:
            send(line.wire, {"push": handover, "handed": True}, theirs)
            theirs.close()
            ours.settimeout(LONG_S)
            assert ours.recv(1) == b""
