"""Trigger filters as manifests may say them; what they mean stands in sluice.filters."""

import re
from typing import Final

import yaml

from sluice.filters import Filter
from sluice.local.manifests.fields import Place, Rule, Section, fields, listing, mapping, refused, text

ATTRIBUTE: Final = r"[a-z][a-z0-9]*"


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
