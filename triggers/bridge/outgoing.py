"""Out of the stream: every event of SLUICE_CHUNKS is posted to the Broker, and done with after its 2xx."""

import base64
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from sluice import events, telemetry
from sluice.bus import Bus, Message
from sluice.errors import InvalidEventError, UnavailableError, UnusableInputError
from triggers.bridge import binding, intake
from triggers.bridge.deadletters import publish_dead_letter
from triggers.bridge.sink import Answer, Sink

TRIGGER: Final = "bridge"
"""Stands where a dead letter names its Trigger."""
RETRIED: Final = (404, 408, 409, 429)
"""What Knative tries again besides 5xx; any other 4xx will be the same next time (retries.go)."""

log = logging.getLogger(__name__)


def carry(message: Message, *, sink: Sink, bus: Bus) -> None:
    """Post the message's event; returns once it is in other hands, raises UnavailableError while it is not."""
    try:
        attributes = events.peek(message.headers, message.payload)
    except InvalidEventError as error:
        intake.reject(message, UnusableInputError(error.expected, error.found, error.where), bus=bus)
        return
    headers = binding.to_http(message.headers, attributes)
    telemetry.bind(traceparent=attributes.get("traceparent"), event=attributes["id"], camera=attributes.get("subject"))
    if "traceparent" in attributes:
        headers["traceparent"] = telemetry.traceparent(attributes["traceparent"])
    answer = sink.post(headers, message.payload)
    metrics = telemetry.current()
    metrics.count("bridge_out", code=str(answer.status))
    if 200 <= answer.status < 300:
        metrics.observe("bridge_out_age_seconds", _age_s(attributes))
    elif 400 <= answer.status < 500 and answer.status not in RETRIED:
        _bury(message, sink.url, answer, bus)
    else:
        raise UnavailableError("broker", f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}")


def _bury(message: Message, destination: str, answer: Answer, bus: Bus) -> None:
    log.error("the Broker refuses for good with %d: %r", answer.status, answer.body[:200])
    headers, payload = binding.to_nats(_as_http(message.headers), message.payload)
    headers |= {
        "ce-knativeerrordest": destination,
        "ce-knativeerrorcode": str(answer.status),
        "ce-knativeerrordata": base64.b64encode(answer.body).decode(),
    }
    publish_dead_letter(bus, headers, payload, trigger=TRIGGER)


def _as_http(headers: Mapping[str, str]) -> dict[str, str]:
    """Without what NATS adds."""
    return {name: value for name, value in headers.items() if not name.lower().startswith("nats-")}


def _age_s(attributes: Mapping[str, str]) -> float:
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(attributes["time"])).total_seconds())
    except (KeyError, ValueError, TypeError):  # a time is optional, and an event of others may have none
        return 0.0
