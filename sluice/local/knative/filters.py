"""Trigger filters: which events a Trigger wants, by their attributes; pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import yaml

from sluice.local.manifests.fields import Place, Rule, Section, fields, listing, mapping, refused, text

Attributes = Mapping[str, str]
Filter = Mapping[str, Any]
"""One item: {dialect: argument}."""

ATTRIBUTE: Final = r"[a-z][a-z0-9]*"


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


def attributes(node: yaml.Node, place: Place) -> Section:
    """Values by attribute name; a name with a capital or a dash can be on no event."""
    found: Section = mapping(text())(node, place)
    _check_names(found)
    return found


def one_filter(node: yaml.Node, place: Place) -> Filter:
    """One item of `filters`: exactly one dialect, as Knative's webhook demands."""
    found: Section = fields(_rules())(node, place)
    if len(found.keys_at) != 1:
        place.refuse(node, f"expected one dialect an item, found {', '.join(found.keys_at) or 'none'}")
    return dict(found)


def _rules() -> dict[str, Rule]:
    items = listing(one_filter, at_least=1)
    rules: dict[str, Rule] = dict.fromkeys(("exact", "prefix", "suffix"), _with_values)
    rules |= {"all": items, "any": items, "not": one_filter}
    return rules | {"cesql": refused("CESQL is not spoken here; use exact, prefix, suffix, all, any, not")}


def _with_values(node: yaml.Node, place: Place) -> Section:
    found = attributes(node, place)
    for name in (name for name, value in found.items() if not value):
        found.refuse(name, "expected a value; only filter.attributes takes '' for any")
    return found


def _check_names(found: Section) -> None:
    if not found.keys_at:
        found.place.refuse(found.node, "expected at least one attribute")
    for name in found:
        if not re.fullmatch(ATTRIBUTE, name):
            found.refuse(name, "an attribute's name has small letters and digits only")
