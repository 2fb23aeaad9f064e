"""Settings come from the environment, and every problem is named at once."""

from dataclasses import dataclass

import pytest

from sluice.errors import SettingsError
from sluice.settings import load, load_all, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One field of each type."""

    url: str = setting("X_URL", "where it is")
    size: int = setting("X_SIZE", "how large", 3)
    wait_s: float = setting("X_WAIT_S", "how long", 1.5)
    loud: bool = setting("X_LOUD", "how loud", False)
    key: str = setting("X_KEY", "the key", "", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Another part's."""

    name: str = setting("Y_NAME", "what it is called")


def test_defaults_fill_what_is_not_set() -> None:
    """Only a field without a default is required."""
    sample = load(Sample, {"X_URL": "http://a"})

    assert sample == Sample(url="http://a")


def test_values_are_read_by_their_type() -> None:
    """Text becomes what the annotation says."""
    sample = load(Sample, {"X_URL": "u", "X_SIZE": "7", "X_WAIT_S": "0.25", "X_LOUD": "On"})

    assert (sample.size, sample.wait_s, sample.loud) == (7, 0.25, True)


def test_all_problems_are_reported_together() -> None:
    """An operator mends everything in one go."""
    with pytest.raises(SettingsError) as caught:
        load(Sample, {"X_SIZE": "many", "X_LOUD": "perhaps"})

    text = str(caught.value)
    assert "X_URL is not set: where it is" in text
    assert "X_SIZE: expected int, found 'many'" in text
    assert "X_LOUD: expected bool, found 'perhaps'" in text


def test_a_secret_is_never_shown() -> None:
    """Neither repr nor an error carries it."""
    sample = load(Sample, {"X_URL": "u", "X_KEY": "s3cret"})

    assert "s3cret" not in repr(sample)


def test_problems_of_several_kinds_are_reported_together() -> None:
    """One error for all that a part reads, not one a restart."""
    with pytest.raises(SettingsError) as caught:
        load_all(Sample, Sample, environ={"X_SIZE": "many"})

    assert len(caught.value.problems) == 4


def test_several_kinds_are_filled_in_order() -> None:
    """What comes back stands where its kind stood."""
    first, second = load_all(Sample, Other, environ={"X_URL": "u", "Y_NAME": "n"})

    assert (first, second) == (Sample(url="u"), Other(name="n"))
