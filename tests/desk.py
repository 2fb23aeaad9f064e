"""A command line before a store and a NATS server in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.cli.main import main
from sluice.local import administrator
from sluice.local.administrator import Administrator
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore


class Desk:
    """Whoever types commands, and what they type them against."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self.bus = MemoryStore(), MemoryBus()
        self.segmenter_url = ""
        self.slept = list[float]()
        self.errors = ""
        self._capsys = capsys
        monkeypatch.setattr(administrator, "administrator", self._opened)

    @contextmanager
    def _opened(self, _state: Path) -> Iterator[Administrator]:
        yield Administrator(store=self.store, bus=self.bus, segmenter_url=self.segmenter_url, rtmp_url="")

    def tried(self, *arguments: object) -> tuple[int, str]:
        """Status and output; what was said on stderr is kept."""
        status = main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        self.errors = said.err
        return status, said.out

    def __call__(self, *arguments: object) -> str:
        """The output of a command that has to succeed."""
        status, output = self.tried(*arguments)
        assert status == 0, self.errors
        return output
