"""Reading YAML strictly: what no rule knows is refused by file, line and field.

A rule takes a node of the document and returns its value; what it cannot accept it refuses at the place it was given,
and reading goes on, so that one run names every problem.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a manifest is refused, and where."""

    file: str
    line: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where we are in a document, and the list that problems go to."""

    file: str
    field: str
    problems: list[Problem]

    def below(self, name: str) -> "Place":
        """The place of a field of this one."""
        joined = name if not self.field or name.startswith("[") else f".{name}"
        return Place(file=self.file, field=self.field + joined, problems=self.problems)

    def refuse(self, node: yaml.Node, text: str) -> None:
        """Note a problem at *node*'s line."""
        line = node.start_mark.line + 1
        self.problems.append(Problem(file=self.file, line=line, field=self.field or "document", text=text))


class Section(dict[str, Any]):
    """The fields of a mapping, which still knows where each one stands."""

    def __init__(self, place: Place, node: yaml.Node) -> None:
        super().__init__()
        self.place, self.node = place, node
        self.keys_at: dict[str, yaml.Node] = {}

    def refuse(self, name: str, text: str) -> None:
        """Note a problem with the field *name*, at its line, else at the section's own."""
        self.place.below(name).refuse(self.keys_at.get(name, self.node), text)


Rule = Callable[[yaml.Node, Place], Any]

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_GO: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+")
_ISO: Final = re.compile(r"P(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?")


def go_seconds(text: str) -> float | None:
    """A duration as Knative Serving writes it (1m30s), in seconds; None when it is none."""
    if not _GO.fullmatch(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s)", text))


def iso_seconds(text: str) -> float | None:
    """A duration as Knative Eventing writes it (PT0.2S, ISO 8601), in seconds; None when it is none."""
    found = _ISO.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    return sum(float(value) * _SECONDS[unit] for unit, value in found.groupdict().items() if value)


def text(pattern: str = r".*", about: str = "text") -> Rule:
    """A string; YAML's bare 1 or true is none, as in Kubernetes."""
    wanted = re.compile(pattern, re.DOTALL)

    def rule(node: yaml.Node, place: Place) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            hint = f"; quote it: '{node.value}'" if isinstance(node, yaml.ScalarNode) and node.value else ""
            place.refuse(node, f"expected {about}, found {_shown(node)}{hint}")
            return ""
        if not wanted.fullmatch(node.value):
            place.refuse(node, f"expected {about}, found {_shown(node)}")
        return str(node.value)

    return rule


def whole(low: int, high: int) -> Rule:
    """An integer from *low* to *high*."""

    def rule(node: yaml.Node, place: Place) -> int:
        is_number = isinstance(node, yaml.ScalarNode) and not node.style and re.fullmatch(r"-?\d+", node.value)
        if is_number and low <= int(node.value) <= high:
            return int(node.value)
        place.refuse(node, f"expected a number from {low} to {high}, found {_shown(node)}")
        return low

    return rule


def iso_duration(node: yaml.Node, place: Place) -> float:
    """An ISO 8601 duration, in seconds."""
    value = iso_seconds(node.value) if isinstance(node, yaml.ScalarNode) else None
    if value is None:
        place.refuse(node, f"expected a duration such as PT0.2S, found {_shown(node)}")
    return value or 0.0


def anything(node: yaml.Node, place: Place) -> None:
    """A part that means something to a cluster and nothing on one machine."""


def refused(reason: str) -> Rule:
    """A field that Knative knows and the local runtime refuses on purpose."""
    return lambda node, place: place.refuse(node, reason)


def mapping(of: Rule) -> Rule:
    """Free names, each with a value of the same kind."""

    def rule(node: yaml.Node, place: Place) -> Section:
        return _section(node, place, lambda _: of)

    return rule


def listing(of: Rule, *, at_least: int = 0, at_most: int = 10_000) -> Rule:
    """A list of values of the same kind."""

    def rule(node: yaml.Node, place: Place) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode) or not at_least <= len(node.value) <= at_most:
            counted = f"a list of {at_least}" if at_least == at_most else f"a list of {at_least} or more"
            place.refuse(node, f"expected {counted if at_least else 'a list'}, found {_shown(node)}")
            return []
        return [of(item, place.below(f"[{index}]")) for index, item in enumerate(node.value)]

    return rule


def fields(known: Mapping[str, Rule], *, need: Sequence[str] = ()) -> Rule:
    """Fields by name; any other name is refused, and those in *need* have to be there."""

    def rule(node: yaml.Node, place: Place) -> Section:
        section = _section(node, place, known.get)
        for name in need:
            if name not in section.keys_at and isinstance(node, yaml.MappingNode):
                place.refuse(node, f"{name} is missing")
        return section

    return rule


def _section(node: yaml.Node, place: Place, rule_of: Callable[[str], Rule | None]) -> Section:
    section = Section(place, node)
    if not isinstance(node, yaml.MappingNode):
        place.refuse(node, f"expected fields, found {_shown(node)}")
        return section
    for key, value in node.value:
        name = str(key.value)
        rule = rule_of(name)
        if rule is None:
            place.below(name).refuse(key, "unknown field")
        elif name in section.keys_at:
            place.below(name).refuse(key, "stands here twice")
        else:
            section.keys_at[name] = key
            section[name] = rule(value, place.below(name))
    return section


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:80]) if node.value else "nothing"
    found = "a list" if isinstance(node, yaml.SequenceNode) else "fields"
    return f"{found} of {len(node.value)}"
