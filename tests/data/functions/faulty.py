"""inspect with one fault, chosen by FAULT: the same handler, the real adapters, a saboteur between them.

A fault strikes FAULT_TIMES times in all, counted over processes by files in FAULT_MARKS.
"""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from functions.inspect.handler import handle
from sluice.bus import NatsBus, Published
from sluice.contracts.chunk import ChunkStored
from sluice.contracts.envelope import Event
from sluice.errors import UnavailableError
from sluice.serving import function_app
from sluice.settings import BusSettings, ServingSettings, StoreSettings, load
from sluice.store import S3Store


def strikes(fault: str) -> bool:
    """True while FAULT is *fault* and its number of times is not used up."""
    if os.environ.get("FAULT") != fault:
        return False
    for n in range(int(os.environ.get("FAULT_TIMES", "1"))):
        try:
            (Path(os.environ["FAULT_MARKS"]) / f"{fault}-{n}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def die(fault: str) -> None:
    """Go without a word, as a node does that loses power."""
    if strikes(fault):
        os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(S3Store):
    """Dies after the chunk was read, or after the result object was put."""

    def get(self, key: str, **options: Any) -> Any:
        """As S3Store."""
        found = super().get(key, **options)
        if key.startswith("chunks/"):
            die("die-after-get")
        return found

    def create(self, key: str, body: bytes, **options: Any) -> str:
        """As S3Store."""
        etag = super().create(key, body, **options)
        die("die-after-put")
        return etag


class DyingBus(NatsBus):
    """Dies after the result was published."""

    def publish(
        self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None
    ) -> Published:
        """As NatsBus."""
        published = super().publish(subject, payload, message_id=message_id, headers=headers)
        die("die-after-publish")
        return published


def create_app() -> Flask:
    """Wire inspect's handler to the saboteurs."""
    store, bus = DyingStore(load(StoreSettings)), DyingBus(load(BusSettings))

    def sabotaged(event: Event[ChunkStored]) -> Event[Any] | None:
        if strikes("unavailable"):
            raise UnavailableError("saboteur", "not now")
        if strikes("bug"):
            raise ZeroDivisionError("a bug that this event always hits")
        return handle(event, store=store, bus=bus)

    app = function_app(
        sabotaged, part="inspect", accepts=ChunkStored, settings=load(ServingSettings), close=[bus.close]
    )
    handled = app.view_functions["handle_event"]

    def answer_text() -> Any:
        return ("ok", 200) if strikes("text") else handled()

    app.view_functions["handle_event"] = answer_text
    return app
