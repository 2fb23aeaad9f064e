"""Trigger filters: which events a Trigger wants, by their attributes. Pure; the Broker is the one who applies them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Attributes = Mapping[str, str]
Filter = Mapping[str, Any]
"""One item: {dialect: argument}."""


def passes(filters: Sequence[Filter], event: Attributes) -> bool:
    """True when every filter lets the event through; an event has no attribute that it does not carry."""
    return all(_DIALECTS[dialect](argument, event) for item in filters for dialect, argument in item.items())


def _each(compare: Callable[[str, str], bool]) -> Callable[[Any, Attributes], bool]:
    return lambda wanted, event: all(name in event and compare(event[name], value) for name, value in wanted.items())


_DIALECTS: Final[dict[str, Callable[[Any, Attributes], bool]]] = {
    # "" stands for any value, but the attribute has to be there: Knative's attributes filter.
    "exact": _each(lambda found, wanted: wanted in ("", found)),
    "prefix": _each(str.startswith),
    "suffix": _each(str.endswith),
    "all": passes,
    "any": lambda items, event: any(passes([item], event) for item in items),
    "not": lambda item, event: not passes([item], event),
}
