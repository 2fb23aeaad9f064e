"""Whatever is asked of recordings, the answer is one, or a reason; and it is small."""

import string
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import NOON_MS
from tests.recorded import record
from tests.viewers import Gateway, Viewer

PATHS: Final = ("/vod/{}/index.m3u8", "/clip/{}.mp4", "/api/cameras/{}/timeline", "/snapshot/{}.jpg")
TIMES = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.integers(NOON_MS - 10_000, NOON_MS + 10_000).map(str),
    st.datetimes().map(lambda at: at.isoformat()),
    st.sampled_from(["", "now", "2026-11-21", "2026-11-21T12:00:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01", "²"]),
    st.text(max_size=40),
)
NAMES = st.one_of(
    st.just("gate"),
    st.sampled_from(
        ["..", ".", "%2e%2e", "gate%2f..%2fyard", "gate%00", "GATE", "-", "a" * 64, "yard", "gate/../yard"]
    ),
    # A question mark of its own would end the path.
    st.text(string.printable, min_size=1, max_size=20).map(lambda text: quote(text, safe="/%")),
)


@pytest.fixture(scope="module")
def viewer() -> Viewer:
    gateway = Gateway()
    record(gateway.store, chunks=2)
    record(gateway.store, "yard", chunks=2)
    return gateway.viewer("gate")


@given(path=st.sampled_from(PATHS), camera=NAMES, since=TIMES, until=TIMES, bucket=TIMES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_question_has_an_answer(
    viewer: Viewer, path: str, camera: str, since: str, until: str, bucket: str
) -> None:
    """Never a fault of ours, never another camera's picture."""
    asked = {"from": since, "to": until, "at": since, "bucket": bucket}

    answer = viewer.ask(path.format(camera), query_string=asked)

    assert answer.status_code in (200, 308, 400, 404, 405), answer.data
    assert answer.status_code != 200 or camera.strip() == "gate"
    assert answer.status_code == 200 or len(answer.data) < 2000


@pytest.mark.parametrize("path", PATHS[:3])
@pytest.mark.parametrize(("since", "until"), [(0, 9_999_999_999_999), (NOON_MS - 10**10, NOON_MS + 10**10)])
def test_a_giant_span_is_refused_before_anything_is_read(viewer: Viewer, path: str, since: int, until: int) -> None:
    """With how much may be asked for."""
    answer = viewer.ask(path.format("gate"), query_string={"from": since, "to": until})

    assert answer.status_code == 400
    assert answer.json
    assert "expected at most" in answer.json["error"]
