"""How many instances a function should have, tick by tick."""

import pytest

from sluice.local.knative.autoscaler import Autoscaler
from sluice.local.manifests.specs import Scale


def decisions(scale: Scale, loads: list[float], *, limit: int = 10) -> list[int]:
    """One decision a tick."""
    autoscaler = Autoscaler(scale=scale, limit=limit)
    return [autoscaler.decide(load) for load in loads]


def test_nobody_asks_so_nobody_runs() -> None:
    """Zero from the first tick on, unless min-scale says otherwise."""
    assert decisions(Scale(target=0.7), [0, 0, 0]) == [0, 0, 0]
    assert decisions(Scale(target=0.7, minimum=2), [0, 0, 0]) == [2, 2, 2]


def test_an_instance_stays_for_the_window_after_the_last_request() -> None:
    """However short the request was."""
    assert decisions(Scale(target=0.7, window_s=6), [0.01, *[0] * 8]) == [1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_the_last_instance_is_retained_longer() -> None:
    """scale-to-zero-pod-retention-period is added to the window."""
    scale = Scale(target=0.7, window_s=6, retention_s=3)

    assert decisions(scale, [0.01, *[0] * 10]) == [1] * 9 + [0, 0]


def test_a_burst_asks_for_more_at_once_and_for_less_slowly() -> None:
    """A tenth of the window may ask for more; the whole window decides when it is enough."""
    assert decisions(Scale(target=0.7, window_s=10), [7, 0, 0, 0]) == [10, 1, 1, 1]
    assert decisions(Scale(target=0.7, window_s=10, down_delay_s=3), [7, 0, 0, 0]) == [10, 10, 10, 1]


@pytest.mark.parametrize(("limit", "expected"), [(3, 3), (100, 100)])
def test_there_is_a_limit(limit: int, expected: int) -> None:
    """max-scale, or what one machine bears."""
    assert decisions(Scale(target=0.7), [1000], limit=limit) == [expected]
