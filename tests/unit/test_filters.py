"""Trigger filters, dialect by dialect."""

from typing import Any

import pytest

from sluice.filters import passes

EVENT = {
    "type": "dev.sluice.chunk.stored.v1",
    "source": "/cameras/gate/bridge",
    "subject": "gate",
    "activity": "opening",
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        pytest.param([], True, id="no-filter-takes-everything"),
        pytest.param([{"exact": {"activity": "opening"}}], True, id="exact"),
        pytest.param([{"exact": {"activity": "open"}}], False, id="exact-is-not-a-prefix"),
        pytest.param([{"exact": {"activity": ""}}], True, id="empty-takes-any-value"),
        pytest.param([{"exact": {"attempt": ""}}], False, id="any-value-still-needs-the-attribute"),
        pytest.param([{"exact": {"subject": "gate", "activity": "idle"}}], False, id="every-name-counts"),
        pytest.param([{"prefix": {"type": "dev.sluice."}}], True, id="prefix"),
        pytest.param([{"prefix": {"attempt": ""}}], False, id="prefix-of-what-is-not-there"),
        pytest.param([{"suffix": {"source": "/bridge"}}], True, id="suffix"),
        pytest.param([{"suffix": {"source": "/inspect"}}], False, id="another-suffix"),
        pytest.param([{"exact": {"subject": "gate"}}, {"exact": {"activity": "idle"}}], False, id="items-are-anded"),
        pytest.param([{"all": [{"exact": {"subject": "gate"}}, {"prefix": {"type": "x"}}]}], False, id="all"),
        pytest.param([{"any": [{"exact": {"subject": "door"}}, {"exact": {"subject": "gate"}}]}], True, id="any"),
        pytest.param([{"any": [{"exact": {"subject": "door"}}]}], False, id="none-of-any"),
        pytest.param([{"not": {"exact": {"activity": "idle"}}}], True, id="not"),
        pytest.param([{"not": {"exact": {"attempt": "0"}}}], True, id="not-of-what-is-not-there"),
        pytest.param([{"not": {"any": [{"not": {"exact": {"subject": "gate"}}}]}}], True, id="nested"),
    ],
)
def test_an_event_passes_exactly_the_filters_that_it_satisfies(filters: list[Any], *, expected: bool) -> None:
    """As Knative's subscriptions API has it."""
    assert passes(filters, EVENT) is expected
