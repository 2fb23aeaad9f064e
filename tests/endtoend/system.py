"""Sluice as its users see it: a bucket, a bus and a gateway, wherever they run."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sluice import names, tokens
from sluice.bus import Bus, NatsBus
from sluice.settings import BusSettings, StoreSettings, load_all, setting
from sluice.store import ObjectStore, S3Store
from sluice.topology import RESULTS, Consumer


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayAddress:
    """Where a running system is reached; with it, the store's and the bus's settings name the rest."""

    url: str = setting("SLUICE_GATEWAY_URL", "the gateway of a running system, as http(s)://host:port", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running one; its store and bus are its administrator's."""

    store: ObjectStore
    bus: Bus
    gateway: str
    token: str = field(repr=False)

    def url(self, path: str) -> str:
        """The address of something behind the gateway, with a viewer's token."""
        return f"{self.gateway}/t/{self.token}{path}"

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


@contextmanager
def connected(stored: StoreSettings, messaged: BusSettings, gateway: str) -> Iterator[System]:
    """The system, with a token that ends with the block."""
    with closing(S3Store(stored)) as store, closing(NatsBus(messaged, name="endtoend")) as bus:
        secret, token = tokens.create(store, role=tokens.VIEWER, cameras=None, lifetime=None)
        try:
            yield System(store=store, bus=bus, gateway=gateway, token=secret)
        finally:
            tokens.revoke(store, token.id)


def named_by_the_environment() -> tuple[StoreSettings, BusSettings, str] | None:
    """The system that the environment names, if it names one."""
    (address,) = load_all(GatewayAddress)
    return (*load_all(StoreSettings, BusSettings), address.url) if address.url else None
