"""A gateway on fakes, and viewers with tokens of it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from functions.gateway.app import gateway_app
from functions.gateway.settings import GatewaySettings, Services
from sluice import tokens
from sluice.settings import ServingSettings
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.tokens import TokenBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Somebody with a token, shown as a header or in the path."""

    client: FlaskClient
    secret: str
    in_path: bool = False

    def ask(
        self, path: str, method: str = "GET", *, headers: dict[str, str] | None = None, **more: Any
    ) -> TestResponse:
        """The answer, read to its end unless `buffered` is false."""
        more.setdefault("buffered", True)
        if self.in_path:
            return self.client.open(f"/t/{self.secret}{path}", method=method, headers=dict(headers or {}), **more)
        shown = {"Authorization": f"Bearer {self.secret}", **(headers or {})}
        return self.client.open(path, method=method, headers=shown, **more)


@dataclass(slots=True, kw_only=True)
class Gateway:
    """The app over a store and a bus in memory."""

    settings: GatewaySettings = field(default_factory=lambda: GatewaySettings(stream_s=1, heartbeat_s=0.1))
    store: MemoryStore = field(default_factory=MemoryStore)
    public: MemoryStore | None = None
    bus: MemoryBus = field(default_factory=MemoryBus)

    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        """Make the app."""
        self.app = gateway_app(self.services, ServingSettings(concurrency=80))

    @property
    def services(self) -> Services:
        """What its blueprints work with."""
        book = TokenBook(self.store)
        return Services(store=self.store, public=self.public, bus=self.bus, settings=self.settings, tokens=book)

    def viewer(
        self,
        *cameras: str,
        role: str = tokens.VIEWER,
        lifetime: timedelta | None = None,
        in_path: bool = False,
    ) -> Viewer:
        """Somebody with a new token; of all cameras if none is named."""
        scope: Collection[str] | None = cameras or None
        secret, _ = tokens.create(self.store, role=role, cameras=scope, lifetime=lifetime)
        return Viewer(client=self.app.test_client(), secret=secret, in_path=in_path)

    def admin(self, *cameras: str) -> Viewer:
        """Somebody who may write, too."""
        return self.viewer(*cameras, role=tokens.ADMIN)
