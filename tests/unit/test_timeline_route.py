"""The bar below a player: recorded spans, activity and labels, the same from indexes and from a listing."""

import time
from typing import Any

import pytest

from functions.index.rounds import index_camera
from sluice.names import ChunkName
from sluice.recordings.hours import HOUR_MS
from tests.builders import NOON_MS, a_chunk_name
from tests.viewers import Gateway

PATH = "/api/cameras/gate/timeline"


def recorded(gateway: Gateway, *starts_ms: int, activity: str = "active") -> list[ChunkName]:
    names = [
        a_chunk_name(start_ms=start_ms, duration_ms=3000, seq=number, activity=activity)
        for number, start_ms in enumerate(starts_ms, 1)
    ]
    for name in names:
        gateway.store.put(name.key, b"x" * 10)
    return names


def asked(gateway: Gateway, query: str) -> Any:
    return gateway.viewer("gate").ask(f"{PATH}?{query}").json


def between(from_ms: int, to_ms: int, *more: str) -> str:
    return "&".join([f"from={from_ms}", f"to={to_ms}", *more])


def index(gateway: Gateway, now_ms: int) -> None:
    index_camera("gate", store=gateway.store, now_ms=now_ms, deadline=time.monotonic() + 60)


def test_it_shows_spans_activity_and_labels() -> None:
    """By buckets of time; what was not recorded has none."""
    gateway = Gateway()
    names = recorded(gateway, NOON_MS, NOON_MS + 3000, NOON_MS + 600_000)
    result = b'{"data": {"frames": [{"objects": [{"label": "person"}, {"label": "person"}]}]}}'
    gateway.store.put(names[0].result_key("detect", "objects"), result)
    index(gateway, NOON_MS + 2 * HOUR_MS)

    answer = asked(gateway, between(NOON_MS, NOON_MS + HOUR_MS))

    assert answer == {
        "camera": "gate",
        "from": "2026-11-21T12:00:00.000Z",
        "to": "2026-11-21T13:00:00.000Z",
        "recorded": [
            {"from": "2026-11-21T12:00:00.000Z", "to": "2026-11-21T12:00:06.000Z"},
            {"from": "2026-11-21T12:10:00.000Z", "to": "2026-11-21T12:10:03.000Z"},
        ],
        "bucket_s": 60,
        "labelled_to": "2026-11-21T12:10:03.000Z",
        "buckets": [
            {
                "at": "2026-11-21T12:00:00.000Z",
                "bytes": 20,
                "activity_ms": {"active": 6000},
                "labels": {"person": {"frames": 1, "most": 2}},
            },
            {"at": "2026-11-21T12:10:00.000Z", "bytes": 10, "activity_ms": {"active": 3000}, "labels": {}},
        ],
    }


def test_indexes_and_listing_show_the_same() -> None:
    """But for labels, which a listing does not know."""
    gateway = Gateway()
    recorded(gateway, *(NOON_MS + each * 1_000_000 for each in range(12)))
    query = between(NOON_MS + 500_000, NOON_MS + 3 * HOUR_MS, "bucket=15")
    by_listing = asked(gateway, query)
    newer = list(gateway.store.list("chunks/gate/2026-11-21/13/"))[1:]
    gateway.store.delete([each.key for each in newer])
    index(gateway, NOON_MS + HOUR_MS + 1_800_000)
    for each in newer:
        gateway.store.put(each.key, b"x" * 10)
    with_some = asked(gateway, query)
    index(gateway, NOON_MS + 9 * HOUR_MS)
    by_indexes = asked(gateway, query)

    assert len(by_listing["buckets"]) == 11
    assert {**by_listing, "labelled_to": 0} == {**with_some, "labelled_to": 0} == {**by_indexes, "labelled_to": 0}


def test_spans_end_where_the_range_does() -> None:
    """Also in the middle of a chunk, and over the end of an hour."""
    gateway = Gateway()
    recorded(gateway, *(NOON_MS - 9000 + each * 3000 for each in range(6)))
    index(gateway, NOON_MS + 2 * HOUR_MS)

    answer = asked(gateway, between(NOON_MS - 8000, NOON_MS + 8000))

    assert answer["recorded"] == [{"from": "2026-11-21T11:59:52.000Z", "to": "2026-11-21T12:00:08.000Z"}]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        (between(0, 9_999_999_999_999), 400),
        (between(NOON_MS, NOON_MS - 1), 400),
        (between(NOON_MS, NOON_MS + HOUR_MS, "bucket=0"), 400),
        (between(NOON_MS, NOON_MS + HOUR_MS, "bucket=1441"), 400),
        ("from=2026-13-01&to=2026-11-21", 400),
        ("from=%00&to=%ff", 400),
        (between(NOON_MS, NOON_MS + 7 * 24 * HOUR_MS, "bucket=1"), 200),
        (between(NOON_MS, NOON_MS + 1), 200),
        ("from=2026-11-21T12:00:00%2B01:00&to=2026-11-21T12:00:00Z", 200),
    ],
)
def test_ranges_are_bounded(query: str, status: int) -> None:
    """And refused with the reason."""
    answer = Gateway().viewer("gate").ask(f"{PATH}?{query}")

    assert answer.status_code == status
    assert answer.json
    assert ("error" in answer.json) == (status == 400)


def test_a_week_has_bounded_buckets() -> None:
    """However small they are asked for."""
    assert asked(Gateway(), between(NOON_MS, NOON_MS + 7 * 24 * HOUR_MS, "bucket=1"))["bucket_s"] == 7 * 60


def test_it_is_the_same_under_a_token_in_the_path() -> None:
    """For pages that a player's link opens."""
    gateway = Gateway()
    viewer = gateway.viewer("gate", in_path=True)

    assert viewer.ask(f"{PATH}?{between(NOON_MS, NOON_MS + 1)}").status_code == 200
