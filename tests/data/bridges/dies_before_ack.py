"""The bridge, killed once at the worst moment: what it did is durable, and nobody was told."""

import os
import signal
from pathlib import Path

from flask import Flask

from sluice.jetstream.messages import NatsMessage
from triggers.bridge import app

MARK = "SLUICE_TEST_MARK"
STREAM = "SLUICE_TEST_STREAM"


def create_app() -> Flask:
    """Die at the first acknowledgement to the stream that is named, unless the mark shows that it happened."""
    mark, stream = Path(os.environ[MARK]), os.environ[STREAM]
    ack = NatsMessage.ack

    def die(self: NatsMessage) -> None:
        if self.stream == stream and not mark.exists():
            mark.touch()
            os.killpg(os.getpgrp(), signal.SIGKILL)
        ack(self)

    NatsMessage.ack = die  # type: ignore[method-assign]  # the one seam between a publish and its end
    return app.create_app()
