"""From when until when a request asks, bounded; the times themselves are read as everywhere."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from functions.gateway import asked
from functions.gateway.answers import Refused

QUERY: Final = {
    "from": "from this time of the video on, as 2026-11-21T12:00:05Z or Unix milliseconds",
    "to": "before this time; default: now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Unix milliseconds; not empty."""

    from_ms: int
    to_ms: int

    @property
    def span_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms

    def __str__(self) -> str:
        return f"from {shown_time(self.from_ms)} to {shown_time(self.to_ms)}"


def asked_range(*, most_s: int, what: str) -> Range:
    """Of the request's `from` and `to` (else now); refuses (400) what is no range, or is longer than *most_s*."""
    found = Range(from_ms=asked.time_ms("from"), to_ms=asked.time_ms("to", now_ms()))
    if found.span_ms <= 0:
        raise Refused(400, "from: expected a time before `to`")
    if found.span_ms > most_s * 1000:
        raise Refused(
            400, f"to: expected at most {shown_span(most_s)} for {what}, found {shown_span(found.span_ms // 1000)}"
        )
    return found


def nothing_recorded(camera: str, when: object) -> Refused:
    """The answer where there is a hole."""
    return Refused(404, f"nothing was recorded of {camera} {when}")


def now_ms() -> int:
    """By this machine's clock."""
    return time.time_ns() // 1_000_000


def shown_time(time_ms: int) -> str:
    """ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown_span(seconds: int) -> str:
    """In hours from two of them on."""
    return f"{seconds / 3600:g} hours" if seconds >= 7200 else f"{seconds} seconds"
