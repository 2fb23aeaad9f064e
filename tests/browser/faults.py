"""What may happen behind a viewer's back."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sluice import cameras, names
from sluice.names import ChunkName
from tests.services.line import Line

TRIGGER = "chunk-stored-to-package.yaml"
SECOND = "packageagain"


@contextlib.contextmanager
def without_packager(line: Line) -> Iterator[None]:
    """Nobody tells it of chunks, until the end of the block."""
    trigger, aside = line.manifests / TRIGGER, line.home / "aside.yaml"
    trigger.rename(aside)
    try:
        yield
    finally:
        aside.rename(trigger)


@contextlib.contextmanager
def second_packager(line: Line) -> Iterator[None]:
    """Another is told of each chunk at the same time, until the end of the block."""
    made = []
    for name, old in (("package.yaml", "\n  name: package\n"), (TRIGGER, "name: package\n")):
        text = (line.manifests / name).read_text().replace(old, old.replace("package", SECOND))
        text = text.replace("name: chunk-stored-to-package\n", f"name: chunk-stored-to-{SECOND}\n")
        written = line.home / name
        written.write_text(text)
        made.append(written.rename(line.manifests / name.replace("package", SECOND)))
    try:
        yield
    finally:
        for each in reversed(made):
            each.unlink()


def kill(pids: list[int]) -> None:
    """As the kernel would when memory is short."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def change(line: Line, camera: str, **changes: Any) -> None:
    """Of the camera's settings."""
    with contextlib.closing(line.bus()) as bus:
        cameras.change(line.store(), bus, camera, lambda found: replace(found, **changes))


def chunks(line: Line, camera: str) -> list[ChunkName]:
    """Of the camera, in order."""
    return [names.parse_chunk_key(each.key) for each in line.store().list(f"chunks/{camera}/")]
