"""Events that a Trigger could not deliver are kept on SLUICE_DEADLETTERS, with the error that Knative attached."""

import hashlib
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sluice import names, telemetry
from sluice.bus import Bus
from sluice.errors import InvalidNameError
from triggers.bridge import binding

UNKNOWN: Final = "unknown"
_IDENTITY: Final = ("source", "id", "knativeerrordest", "knativearrivaltime")
"""The time of arrival is the Broker's, new for each replay: what is dead again is a letter of its own."""


def keep(headers: Mapping[str, str], body: bytes, *, bus: Bus) -> None:
    """Store a dead letter as a Broker posts it; returns once it is durable."""
    carried, payload = binding.to_nats(headers, body)
    publish_dead_letter(bus, carried, payload, trigger=trigger_of(carried.get("ce-knativeerrordest", "")))


def publish_dead_letter(bus: Bus, headers: Mapping[str, str], payload: bytes, *, trigger: str) -> None:
    """Publish it once, however often it is handed in."""
    identity = "\n".join(headers.get(f"ce-{name}", "") for name in _IDENTITY)
    message_id = hashlib.sha256(identity.encode()).hexdigest()
    bus.publish(names.dead_letter_subject(trigger), payload, message_id=message_id, headers=headers)
    telemetry.current().count("bridge_dead_letters")


def trigger_of(destination: str) -> str:
    """Who could not be reached: the first label of its host, which is the subscriber's name in a cluster."""
    try:
        host = urlsplit(destination).hostname or ""
    except ValueError:
        return UNKNOWN
    try:
        ipaddress.ip_address(host)
    except ValueError:
        label = host.partition(".")[0]
    else:
        return UNKNOWN
    try:
        return names.checked_camera(label)
    except InvalidNameError:
        return UNKNOWN
