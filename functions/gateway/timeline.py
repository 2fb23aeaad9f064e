"""When a camera was recorded and what was seen, for the bar below a player."""

from typing import Any, Final

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from functions.gateway import asked
from functions.gateway.auth import authorized
from functions.gateway.openapi import describe
from functions.gateway.ranges import QUERY, Range, asked_range, shown_time
from functions.gateway.settings import Services
from sluice.contracts.index import LabelCount
from sluice.recordings.summary import MINUTE_MS
from sluice.recordings.timeline import Timeline, timeline

MOST_S: Final = 7 * 24 * 3600
MOST_BUCKETS: Final = 1500
"""A day by minutes is 1,440."""
_USUAL_BUCKETS: Final = 288
_MINUTES: Final = (1, 5, 15, 60)
_COUNTS: Final = {"type": "object", "additionalProperties": {"type": "integer"}}
_LABEL: Final = {
    "type": "object",
    "properties": {
        "frames": {"type": "integer", "description": "that were looked at and show it"},
        "most": {"type": "integer", "description": "in one of them"},
    },
}
_TIME: Final = {"type": "string", "format": "date-time"}
_SPAN: Final = {"type": "object", "properties": {"from": _TIME, "to": _TIME}}
_ANSWER: Final = {
    "type": "object",
    "properties": {
        "camera": {"type": "string"},
        "from": _TIME,
        "to": _TIME,
        "recorded": {"type": "array", "items": _SPAN},
        "bucket_s": {"type": "integer"},
        "labelled_to": {**_TIME, "type": ["string", "null"], "description": "labels of what is newer come later"},
        "buckets": {
            "type": "array",
            "description": "in order; one in which nothing was recorded is left out",
            "items": {
                "type": "object",
                "properties": {
                    "at": _TIME,
                    "bytes": {"type": "integer"},
                    "activity_ms": _COUNTS,
                    "labels": {"type": "object", "additionalProperties": _LABEL},
                },
            },
        },
    },
}


def blueprint(services: Services) -> Blueprint:
    """The route."""
    routes = Blueprint("timeline", __name__)

    @routes.get("/api/cameras/<camera>/timeline")
    @describe(query={**QUERY, "bucket": "minutes of a bucket; default: some hundred buckets"}, answer=_ANSWER)
    def show(camera: str) -> ResponseReturnValue:
        """When a camera was recorded, how active it was and which labels were seen, at most a week."""
        authorized(camera)
        span = asked_range(most_s=MOST_S, what="a timeline")
        bucket_ms = _bucket_ms(span)
        with services.searches:
            found = timeline(services.store, camera, span.from_ms, span.to_ms, bucket_ms=bucket_ms)
        return jsonify(_answer(camera, span, found, bucket_ms))

    return routes


def _bucket_ms(span: Range) -> int:
    usual = next((each for each in _MINUTES if span.span_ms <= each * MINUTE_MS * _USUAL_BUCKETS), _MINUTES[-1])
    minutes = asked.number("bucket", default=usual, most=24 * 60)
    least = -(-span.span_ms // (MINUTE_MS * MOST_BUCKETS))
    return max(minutes, least) * MINUTE_MS


def _answer(camera: str, span: Range, found: Timeline, bucket_ms: int) -> dict[str, Any]:
    return {
        "camera": camera,
        "from": shown_time(span.from_ms),
        "to": shown_time(span.to_ms),
        "recorded": [{"from": shown_time(each.from_ms), "to": shown_time(each.to_ms)} for each in found.spans],
        "bucket_s": bucket_ms // 1000,
        "labelled_to": shown_time(found.labelled_to_ms) if found.labelled_to_ms else None,
        "buckets": [
            {
                "at": shown_time(each.at_ms),
                "bytes": each.size_bytes,
                "activity_ms": each.activity_ms,
                "labels": {label: _count(count) for label, count in sorted(each.labels.items())},
            }
            for each in found.buckets
        ],
    }


def _count(count: LabelCount) -> dict[str, int]:
    return {"frames": count.frames, "most": count.most}
