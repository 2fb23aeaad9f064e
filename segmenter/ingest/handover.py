"""A push that the front process has let in, on its way to the worker that has its camera."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Goes with the socket, over a Unix socket as JSON."""

    camera: str
    protocol: str
    """http or rtmp."""
    peer: str
    """Address of the sender, for people."""
    rest: str = ""
    """Bytes that were read beyond the head, base64."""
    state: dict[str, Any] = field(default_factory=dict)
    """What the protocol's reader must know to go on."""
