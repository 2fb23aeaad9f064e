"""Arguments that are times: a moment, a while, days."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MOMENT: Final = "as in 2026-11-21T12:00:05Z, UTC without a zone; or 10m for ten minutes ago; or now"


def ago(text: str) -> timedelta:
    """Read 30s, 10m, 2h or 7d; 0s is from now on."""
    try:
        return _at_least(timedelta(), timedelta(seconds=float(text[:-1]) * _SECONDS[text[-1]]))
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"expected a number of s, m, h or d as in 10m, found {text!r}") from error


def days(text: str) -> timedelta:
    """Read a number of days; what has ended when it begins is of no use."""
    try:
        return _at_least(timedelta.resolution, timedelta(days=float(text)))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"expected a number of days above 0, found {text!r}") from error


def moment(text: str) -> datetime:
    """Read a time of the calendar, or how long ago it was."""
    now = datetime.now(UTC)
    if text == "now":
        return now
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _back(now, text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _back(now: datetime, text: str) -> datetime:
    try:
        return now - ago(text)
    except (argparse.ArgumentTypeError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"expected a time {MOMENT}, found {text!r}") from error


def _at_least(least: timedelta, found: timedelta) -> timedelta:
    if found < least:
        raise ValueError(found)
    return found
