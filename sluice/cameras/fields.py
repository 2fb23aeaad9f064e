"""What each field of a camera's description takes."""

import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sluice import names
from sluice.address import parse_source
from sluice.errors import InvalidNameError, UnusableInputError

MAX_WORKS: Final = 16
"""Of one function; each is a result a chunk."""
MAX_FUNCTIONS: Final = 16
MAX_LABELS: Final = 256
SHOWN: Final = 200
FUNCTION: Final = re.compile(r"[a-z]{1,63}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 120
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MAX_LABEL: Final = 64


class UnfitError(Exception):
    """Raised when a value is none of its field; what is left out stands in the rule, or is the value itself."""

    def __init__(self, *, expected: str = "", found: str = "") -> None:
        super().__init__()
        self.expected, self.found = expected, found


@dataclass(frozen=True, slots=True)
class Rule:
    """One field."""

    expected: str
    read: Callable[[Any], Any]
    """The value as the contract holds it; raises UnfitError."""


def shown(value: object) -> str:
    """A value, for people, bounded before it is rendered."""
    if value is None:
        return "nothing"
    try:
        return _REPR.repr(value)[:SHOWN]
    except ValueError:
        return "a number of thousands of digits"


def text(value: object) -> str:
    """A value where text is expected, bounded."""
    return value[:SHOWN] if isinstance(value, str) else ""


def _number(low: float, high: float, what: str) -> Rule:
    def read(value: Any) -> float:
        # True is an int, and NaN is in no range.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UnfitError
        return float(value)

    return Rule(f"{what} from {low:g} to {high:g}", read)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UnfitError
    return value


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise UnfitError
        return value

    return read


def _camera(value: Any) -> str:
    try:
        return names.checked_camera(value)
    except (InvalidNameError, TypeError) as error:
        raise UnfitError from error


def _source(value: Any) -> str:
    if not isinstance(value, str):
        raise UnfitError
    if value:
        try:
            parse_source(value)
        except UnusableInputError as error:
            raise UnfitError(expected=error.expected, found=error.found) from error
    return value


def _push_key(value: Any) -> str:
    if value == "":
        return ""
    try:
        return _matching(_HASH)(value)
    except UnfitError as error:
        # It may be the key itself, given by mistake.
        raise UnfitError(found="something else (hidden)") from error


def _labels(value: Any) -> tuple[str, ...]:
    fit = isinstance(value, list | tuple) and 0 < len(value) <= MAX_LABELS
    if not fit or not all(isinstance(each, str) and 0 < len(each) <= _MAX_LABEL for each in value):
        raise UnfitError
    return tuple(value)


_YES_NO: Final = Rule("true or false", _flag)

CAMERA: Final[Mapping[str, Rule]] = {
    "name": Rule("[a-z0-9][a-z0-9-]{0,62}", _camera),
    "source": Rule("a URL", _source),
    "push_key": Rule("the sha256 of a key, as 64 hex digits", _push_key),
    "paused": _YES_NO,
    "target_s": _number(1, 30, "seconds"),
    "record": _YES_NO,
    "retention_days": _number(0, 3650, "days"),
    "audio": _YES_NO,
    "keyframes_only": _YES_NO,
}
"""All but `functions`, which holds lists of WORK."""

WORK: Final[Mapping[str, Rule]] = {
    "model": Rule("[a-z0-9][a-z0-9-]{0,62}", _matching(_NAME)),
    "fps": _number(0.1, 60, "frames a second"),
    "labels": Rule(f"a list of 1 to {MAX_LABELS} labels of at most {_MAX_LABEL} characters", _labels),
    "min_score": _number(0, 1, "a score"),
}
