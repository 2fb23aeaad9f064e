"""Writes down when it was entered: what the bench reads."""

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask

from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.serving import function_app
from sluice.settings import ServingSettings, load


def create_app() -> Flask:
    """A function that does nothing else."""
    journal = Path(os.environ["ENTRY_JOURNAL"])

    def note(event: Event[Any]) -> None:
        with journal.open("a") as lines:
            lines.write(f"{time.time_ns()} {event.data.chunk.key}\n")

    return function_app(note, part="entry", accepts=ChunkStored, settings=load(ServingSettings))
