"""Whatever is asked for, with whatever token: an answer with its reason, and never a fault of ours."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.gateway.settings import GatewaySettings
from tests.builders import NOON_MS, a_chunk_name
from tests.viewers import Gateway, Viewer

CHUNK = a_chunk_name()
TIMES = ["now", "-1", "0", str(NOON_MS), str(NOON_MS + 10**9), "9" * 13, "9" * 30, "2026-11-21T12:00:00Z", "0001-01-01"]
ODD = [
    "..",
    ".",
    "",
    "%2e%2e",
    "..%2f",
    "%00",
    "\\",
    "~",
    "*",
    "?",
    "#",
    "é",
    "\u202e",
    "a" * 300,
    "A",
    "-",
    "'",
    "<b>",
]
NAMES = ["gate", "yard", "nobody", "t", "index.m3u8", "live-4.m3u8", "0a1b2c3d.mp4", "gate.mp4", "gate.jpg"]
ROUTES = ["hls", "chunks", "init", "vod", "clip", "snapshot", "watch", "api", "cameras", "events", "stream", "timeline",
          "status", "openapi.json", "metrics", "health", "tokens", "results"]  # fmt: skip
KNOWN = [f"/{CHUNK.key}", f"/{CHUNK.init_key}", "/hls/gate/index.m3u8", "/vod/gate/index.m3u8", "/clip/gate.mp4",
         "/snapshot/gate.jpg", "/api/cameras", "/api/cameras/gate", "/api/cameras/gate/timeline", "/api/events",
         "/api/events/stream", "/watch/gate"]  # fmt: skip

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
pieces = st.sampled_from([*NAMES, *ODD, *ROUTES, "2026-11-21", "12", "99", CHUNK.key.rpartition("/")[2]]) | texts
paths = st.sampled_from(KNOWN) | st.lists(pieces, max_size=7).map(
    lambda found: "/" + "/".join(map(quote, found)).lstrip("/")
)
queries = st.dictionaries(
    st.sampled_from(["from", "to", "at", "camera", "kind", "label", "limit", "cursor", "after", "bucket", "x"]),
    st.sampled_from([*TIMES, *NAMES, *ODD, "detections", "1000"]) | texts,
    max_size=4,
)
header_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
dates = st.from_regex(r"\A[0-9]{1,25} (Jan|Dec) [0-9]{1,25} [0-9]{1,3}:[0-9]{1,25}:00 (GMT|[+-][0-9]{4,25})\Z")
ranges = st.tuples(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30)).map(lambda r: f"bytes={r[0]}-{r[1]}")
headers = st.fixed_dictionaries(
    {},
    optional={
        "Range": ranges | header_text,
        "If-Range": header_text | dates,
        "If-None-Match": header_text,
        "If-Modified-Since": header_text | dates,
        "Last-Event-ID": header_text | st.sampled_from(["9" * 17 + "-results.1", "0-results.0"]),
        "Origin": header_text,
        "Accept": header_text | st.sampled_from(["text/html,*/*", "application/json"]),
        "Content-Type": header_text,
    },
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
fields = st.dictionaries(
    st.sampled_from(["name", "source", "push", "push_key", "paused", "target_s", "functions", "retention_days", "x"]),
    json_values | st.sampled_from(["gate", "new", True, "test://", {"key": "x" * 20}, {"detect": []}]),
)
bodies = st.binary(max_size=60) | json_values.map(json.dumps) | fields.map(json.dumps)


def a_gateway() -> Gateway:
    gateway = Gateway(settings=GatewaySettings(stream_s=0.01, heartbeat_s=0.01))
    gateway.store.put(CHUNK.key, b"ftypmoov" * 20)
    gateway.store.put(CHUNK.init_key, b"ftypmoov")
    gateway.store.put("hls/gate/index.m3u8", b"#EXTM3U\n")
    gateway.store.put("cameras/yard.json", b"{")
    return gateway


GATEWAY = a_gateway()
"""One for all: what an earlier request left behind is part of the game."""
TOKENS = [
    GATEWAY.admin(),
    GATEWAY.admin("gate"),
    GATEWAY.viewer("gate"),
    GATEWAY.viewer("gate", in_path=True),
    GATEWAY.viewer(lifetime=timedelta(seconds=-1)),
]


def is_ours(answer: Any) -> bool:
    """Success, or a refusal that says why: to programs in JSON, to people who open the page in words."""
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return bool(answer.status_code < 500)
    if answer.mimetype == "text/html":
        return answer.status_code < 500 and 'role="alert"' in answer.text
    return answer.status_code < 500 and bool(json.loads(answer.text)["error"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(TOKENS), methods, paths, queries, headers, bodies)
def test_nothing_that_is_asked_for_breaks_the_gateway(
    viewer: Viewer, method: str, path: str, query: dict[str, str], extra: dict[str, str], body: Any
) -> None:
    """Names, ranges, times, bodies, methods."""
    answer = viewer.ask(f"{path}?{urlencode(query)}", method, headers=extra, data=body)

    assert is_ours(answer), (method, path, query, extra, answer.status_code, answer.text)


@settings(max_examples=100, deadline=None)
@given(paths, texts | pieces, header_text)
def test_nobody_gets_in_by_an_odd_token(path: str, token: str, header: str) -> None:
    """In the path and in the header; the answer is 401 whatever is asked for."""
    client: FlaskClient = GATEWAY.app.test_client()

    shown = [client.get(f"/t/{quote(token, safe='')}{path}"), client.get(path, headers={"Authorization": header})]

    assert {answer.status_code for answer in shown if not answer.request.path.startswith("/health")} <= {401}
