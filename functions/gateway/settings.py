"""What the gateway can be told from outside, and what its routes are given."""

from dataclasses import dataclass, field
from typing import Final

from functions.gateway.places import Places
from sluice.bus import Bus
from sluice.errors import SettingsError
from sluice.settings import ServingSettings, setting
from sluice.store import ObjectStore
from sluice.tokens import TokenBook

SEARCHES: Final = 8
"""Questions about hours of recordings, at once: each costs some hundred objects and tenths of a second of a core."""
RESERVED: Final = SEARCHES + 8
"""Requests that are answered while every event stream and every download is taken: the API, playlists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Of the function."""

    streams: int = setting("SLUICE_GATEWAY_STREAMS", "event streams that are open at once; more are answered 503", 32)
    downloads: int = setting(
        "SLUICE_GATEWAY_DOWNLOADS", "chunks, clips and pictures that are sent at once; more are answered 503", 32
    )
    stall_s: float = setting(
        "SLUICE_GATEWAY_STALL_S", "seconds without a byte read after which a viewer is given up", 30.0
    )
    heartbeat_s: float = setting("SLUICE_GATEWAY_HEARTBEAT_S", "seconds between two signs of life of a stream", 10.0)
    stream_s: float = setting(
        "SLUICE_GATEWAY_STREAM_S", "seconds after which an event stream ends; its client goes on in a new one", 30.0
    )
    redirect_url: str = setting(
        "SLUICE_GATEWAY_REDIRECT_URL",
        "the store as viewers reach it: chunks are then read there, by presigned URLs; empty: through the gateway",
        "",
    )
    redirect_s: int = setting("SLUICE_GATEWAY_REDIRECT_S", "seconds for which such a URL is good", 300)
    cors_origins: str = setting(
        "SLUICE_GATEWAY_CORS_ORIGINS", "origins whose pages may read from here, by commas, or *; empty: none", ""
    )


def checked(mine: GatewaySettings, served: ServingSettings) -> GatewaySettings:
    """Return *mine* if streams and downloads leave room for everything else, else raise SettingsError."""
    needed = mine.streams + mine.downloads + RESERVED
    problems = []
    if served.concurrency < needed:
        parts = f"SLUICE_GATEWAY_STREAMS + SLUICE_GATEWAY_DOWNLOADS + {RESERVED}"
        problems.append(f"SLUICE_CONCURRENCY: expected at least {needed} ({parts}), found {served.concurrency}")
    if min(mine.streams, mine.downloads, mine.stall_s, mine.heartbeat_s, mine.stream_s, mine.redirect_s) <= 0:
        problems.append("SLUICE_GATEWAY_*: expected numbers above 0")
    if problems:
        raise SettingsError(tuple(problems))
    return mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a blueprint works with."""

    store: ObjectStore
    public: ObjectStore | None = None
    """The store as viewers reach it, for presigned URLs only; None: they are not sent there."""
    bus: Bus
    settings: GatewaySettings
    tokens: TokenBook
    searches: Places = field(default_factory=lambda: Places(SEARCHES, "searches"))
