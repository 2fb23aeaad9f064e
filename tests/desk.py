"""A command line before a store and a NATS server in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice import cameras
from sluice.cli.main import main
from sluice.contracts.camera import Camera
from sluice.local import administrator
from sluice.local.administrator import Administrator
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import CAMERAS
from tests.builders import NOON_MS, a_chunk_name, a_small_chunk


class Desk:
    """Whoever types commands, and what they type them against."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self.bus = MemoryStore(), MemoryBus()
        self.segmenter_url = self.rtmp_url = ""
        self.slept = list[float]()
        self.errors = ""
        self._capsys = capsys
        monkeypatch.setattr(administrator, "administrator", self._opened)

    @contextmanager
    def _opened(self, _state: Path) -> Iterator[Administrator]:
        yield Administrator(store=self.store, bus=self.bus, segmenter_url=self.segmenter_url, rtmp_url=self.rtmp_url)

    def tried(self, *arguments: object) -> tuple[int, str]:
        """Status and output; what was said on stderr is kept."""
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        said = self._capsys.readouterr()
        self.errors = said.err
        return status, said.out

    def __call__(self, *arguments: object) -> str:
        """The output of a command that has to succeed."""
        status, output = self.tried(*arguments)
        assert status == 0, self.errors
        return output

    def refused(self, *arguments: object) -> str:
        """What a command that has to fail complains of."""
        status, _ = self.tried(*arguments)
        assert status != 0
        return self.errors

    def copied(self, name: str) -> Camera | None:
        """The camera as the KV has it."""
        entry = self.bus.bucket(CAMERAS.name).get(name)
        return cameras.decode(entry.value, name=name) if entry and entry.value else None


def recorded(desk: Desk) -> list[str]:
    """The keys of all that is no camera."""
    return [each.key for each in desk.store.list("") if not each.key.startswith("cameras/")]


def put_a_recording(desk: Desk, camera: str = "gate", start_ms: int = NOON_MS) -> str:
    """A chunk of the camera with its init segment; the chunk's key."""
    chunk = a_small_chunk()
    name = a_chunk_name(camera, start_ms=start_ms, init=chunk.init8)
    desk.store.put(name.key, chunk.body)
    desk.store.put(name.init_key, chunk.init)
    return name.key
