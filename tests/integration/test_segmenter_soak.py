"""Two minutes of `make soak`."""

from pathlib import Path

import pytest

from tests.soak.growth import growth
from tests.soak.segmenter import soak

pytestmark = [pytest.mark.s3, pytest.mark.nats]


def test_16_cameras_for_two_minutes(minio_binary: Path, tmp_path: Path) -> None:
    """No growth, no missing seq, and chunks that say the time at which their first frame was sent."""
    summary = soak(minio_binary, tmp_path, 120)

    print(summary)
    assert summary.problems == []


def test_growth_is_seen_and_noise_is_not() -> None:
    """A slope over all samples, not what two of them say."""
    noisy = [(at, 100 + at % 7) for at in range(100)]
    spiked = [*noisy[:-1], (99, 900.0)]
    growing = [(at, value + at * 0.2) for at, value in noisy]

    assert growth("noise", noisy, allowed=5).is_flat
    assert growth("a spike", spiked, allowed=5).is_flat
    assert not growth("growth", growing, allowed=5).is_flat
