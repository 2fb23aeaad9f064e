"""Sluice as its users see it: a bucket, a bus, a gateway, a door for cameras and a command, wherever they run."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice import names, tokens
from sluice.bus import Bus, NatsBus
from sluice.settings import BusSettings, StoreSettings, load_all
from sluice.store import ObjectStore, S3Store
from sluice.topology import RESULTS, Consumer

ADDRESSES = ("SLUICE_GATEWAY_URL", "SLUICE_SEGMENTER_URL", "SLUICE_BROKER_URL")
"""What names a running system; with it, the store's and the bus's settings name the rest."""
COMMAND_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running one; its store and bus are its administrator's."""

    store: ObjectStore
    bus: Bus
    environment: Mapping[str, str] = field(repr=False)
    """All that names it."""
    token: str = field(repr=False)
    home: Path
    """An empty folder."""

    def url(self, path: str) -> str:
        """The address of something behind the gateway, with a viewer's token."""
        return f"{self.environment['SLUICE_GATEWAY_URL']}/t/{self.token}{path}"

    def ingest(self, camera: str) -> str:
        """Where a camera pushes to by HTTP."""
        return f"{self.environment['SLUICE_SEGMENTER_URL']}/ingest/{camera}"

    def get(self, path: str) -> bytes:
        """What the gateway answers; nothing while it does not know."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=30) as answer:
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code in (404, 503):
                return b""
            raise

    def messages(self, kind: str, camera: str) -> list[dict[str, Any]]:
        """Every message of a kind and camera on the result stream."""
        name = f"reader-{time.monotonic_ns()}"
        reader = Consumer(stream=RESULTS.name, name=name, filter_subject=names.subject(kind, camera), inactive_s=60)
        self.bus.ensure([], [reader], [])
        subscription, found = self.bus.subscribe(reader), list[dict[str, Any]]()
        while fetched := subscription.fetch(200, wait_s=0.5):
            for message in fetched:
                found.append(json.loads(message.payload))
                message.ack()
        return found

    def run(self, *arguments: str) -> str:
        """What a sluice command says that knows the system by its environment alone, and has to succeed."""
        command = [sys.executable, "-m", "sluice.cli.main", *arguments]
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def connected(environment: Mapping[str, str], home: Path) -> Iterator[System]:
    """The system that is so named, with a token that ends with the block."""
    stored, messaged = load_all(StoreSettings, BusSettings, environ=environment)
    with closing(S3Store(stored)) as store, closing(NatsBus(messaged, name="endtoend")) as bus:
        secret, token = tokens.create(store, role=tokens.VIEWER, cameras=None, lifetime=None)
        try:
            yield System(store=store, bus=bus, environment=environment, token=secret, home=home)
        finally:
            tokens.revoke(store, token.id)


def named_by_the_environment() -> Mapping[str, str] | None:
    """The system that the environment names, if it names one."""
    return dict(os.environ) if all(os.environ.get(each) for each in ADDRESSES) else None
