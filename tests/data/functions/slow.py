"""Works for as long as a file stands, and says when it was closed: what the tests of the serving process drive."""

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
    """A function of GATE (works while it is there), ENTERED and CLOSED (touched)."""
    gate, entered, closed = (Path(os.environ[name]) for name in ("GATE", "ENTERED", "CLOSED"))

    def work(event: Event[Any]) -> None:
        entered.touch()
        while gate.exists():
            time.sleep(0.01)

    return function_app(work, part="slow", accepts=ChunkStored, settings=load(ServingSettings), close=[closed.touch])
