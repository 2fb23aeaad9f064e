"""Times as people type them."""

import argparse
from datetime import UTC, datetime, timedelta

import pytest

from sluice.cli.times import ago, days, moment

NO_WHILE = ["", "10", "m", "-5m", "nans", "infd", "1e400d", "10 minutes"]


@pytest.mark.parametrize(
    ("text", "time"), [("90s", timedelta(seconds=90)), ("1.5h", timedelta(minutes=90)), ("0s", timedelta())]
)
def test_times_have_units(text: str, time: timedelta) -> None:
    """Seconds, minutes, hours, days."""
    assert ago(text) == time


@pytest.mark.parametrize("text", NO_WHILE)
def test_what_is_no_while_is_refused(text: str) -> None:
    """Less than nothing, too."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a number of s, m, h or d"):
        ago(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "a week"])
def test_days_are_above_none(text: str) -> None:
    """A token that has ended when it is made lets nobody in."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a number of days above 0"):
        days(text)


def test_a_moment_is_of_the_calendar() -> None:
    """UTC without a zone."""
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert [moment(each) for each in ("2026-11-21T12:00", "2026-11-21T13:00+01:00", "2026-11-21T12:00:00Z")] == [
        noon
    ] * 3


def test_a_moment_may_be_a_while_ago() -> None:
    """Or now."""
    before = datetime.now(UTC)
    found, now = moment("10m"), moment("now")

    assert timedelta() <= found + timedelta(minutes=10) - before < timedelta(minutes=1)
    assert before <= now <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "999999999d", "-10m", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a time as in 2026.*found"):
        moment(text)
