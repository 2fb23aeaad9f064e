"""What stands in a request: times, names and numbers, read within bounds and refused with the reason."""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Final

from flask import request

from functions.gateway.answers import Refused
from functions.gateway.auth import authorized, the_token

MAX_NAMES: Final = 100
_MS: Final = re.compile(r"[0-9]{1,13}", re.ASCII)
_LATEST_MS: Final = 9_999_999_999_999
_SHOWN: Final = 80


def time_ms(name: str, default: int | None = None) -> int:
    """A time as Unix milliseconds, given so or as in 2026-11-21T12:00:05Z; UTC without a zone."""
    text = request.args.get(name, "")
    if not text:
        if default is None:
            raise Refused(400, f"{name}: expected a time, found nothing")
        return default
    if _MS.fullmatch(text):
        return int(text)
    try:
        # A plus that nobody escaped has become a blank.
        found = datetime.fromisoformat(text[:_SHOWN].replace(" ", "+"))
        milliseconds = int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _unfit(name, "a time as 2026-11-21T12:00:05Z or Unix milliseconds", text) from error
    if not 0 <= milliseconds <= _LATEST_MS:
        raise _unfit(name, "a time after 1970", text)
    return milliseconds


def number(name: str, *, default: int, most: int) -> int:
    """A whole number from 1 to *most*."""
    text = request.args.get(name, "")
    if not text:
        return default
    if not _MS.fullmatch(text) or not 1 <= int(text) <= most:
        raise _unfit(name, f"a number from 1 to {most}", text)
    return int(text)


def names(name: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """All that are given under *name*, each once; of *known* ones where there are such."""
    found = tuple(dict.fromkeys(request.args.getlist(name)))
    if len(found) > MAX_NAMES:
        raise Refused(400, f"{name}: expected at most {MAX_NAMES}, found {len(found)}")
    for each in found:
        if known and each not in known:
            raise _unfit(name, f"one of {', '.join(known)}", each)
    return found


def cameras() -> tuple[str, ...] | None:
    """The cameras that are asked for, else those of the token; None: all."""
    asked = tuple(authorized(each) for each in names("camera"))
    return asked or the_token().cameras


def body() -> dict[str, Any]:
    """The JSON object that was sent."""
    try:
        found = json.loads(request.get_data(cache=False))
    # A body of brackets alone makes a RecursionError.
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"body: expected a JSON object, found {str(error)[:_SHOWN]}") from error
    if not isinstance(found, dict):
        raise Refused(400, f"body: expected a JSON object, found {type(found).__name__}")
    return found


def _unfit(name: str, expected: str, found: str) -> Refused:
    return Refused(400, f"{name}: expected {expected}, found {found[:_SHOWN]!r}")
