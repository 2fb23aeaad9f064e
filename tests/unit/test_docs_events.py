"""docs/events.md says of every event what the code and the golden documents say, and no more."""

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from sluice import events, topology

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "events.md").read_text("utf-8")
ROW = re.compile(r"^\| `(?P<field>\w+)` \| `(?P<type>[^`]+)` \| (?P<about>.+) \|$", re.MULTILINE)
GOLDENS = ROOT / "tests" / "data" / "events"
CONTRACTS = sorted(events.CONTRACTS.values(), key=lambda kind: kind.TYPE)


def sections() -> dict[str, str]:
    """What stands under each heading that names an event type or a part of one."""
    pieces = re.split(r"^##+ (.+)\n", TEXT, flags=re.MULTILINE)
    return {
        heading.strip("`"): text for heading, text in zip(pieces[1::2], pieces[2::2], strict=True) if "`" in heading
    }


def parts_of(kind: Any) -> Iterator[type]:
    """The dataclasses that *kind* is made of."""
    for hint in get_type_hints(kind).values():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type):
                yield inner
                yield from parts_of(inner)


def declared() -> Iterator[Any]:
    """Every contract with a TYPE, listed or not."""
    for path in (ROOT / "sluice" / "contracts").glob("*.py"):
        module = importlib.import_module(f"sluice.contracts.{path.stem}")
        yield from (
            thing for thing in vars(module).values() if "TYPE" in vars(thing if isinstance(thing, type) else object)
        )


def type_name(annotation: object) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def in_code(kind: Any) -> dict[str, str]:
    hints = get_type_hints(kind)
    return {each.name: re.sub(r"\b(\w+\.)+", "", type_name(hints[each.name])) for each in fields(kind)}


NAMED = {kind.TYPE: kind for kind in CONTRACTS} | {part.__name__: part for kind in CONTRACTS for part in parts_of(kind)}


def test_every_contract_is_listed_and_documented() -> None:
    """A contract, its entry in CONTRACTS, its golden document and its section come and go together."""
    types = {kind.TYPE for kind in declared()}

    assert set(events.CONTRACTS) == types
    assert {f"dev.sluice.{path.stem}" for path in GOLDENS.glob("*.json")} == types
    assert set(sections()) == set(NAMED)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_field_is_documented_with_its_type(name: str) -> None:
    """No field is missing, none is left from yesterday."""
    rows = list(ROW.finditer(sections()[name]))

    assert {row["field"]: row["type"].replace("\\|", "|") for row in rows} == in_code(NAMED[name])
    assert len(rows) == len(fields(NAMED[name]))


@pytest.mark.parametrize("kind", CONTRACTS, ids=lambda kind: kind.TYPE)
def test_maker_taker_and_subject_are_told(kind: Any) -> None:
    """The subject is the contract's kind, in the stream that takes it."""
    text = sections()[kind.TYPE]
    subject = f"sluice.v1.{kind.KIND}.*"
    [stream] = [each.name for each in topology.STREAMS if subject in each.subjects or "sluice.v1.>" in each.subjects]

    assert re.search(r"^- made by: \S", text, re.MULTILINE)
    assert re.search(r"^- taken by: \S", text, re.MULTILINE)
    assert f"- NATS: `sluice.v1.{kind.KIND}.<camera>`, stream `{stream}`" in text


@pytest.mark.parametrize("kind", CONTRACTS, ids=lambda kind: kind.TYPE)
def test_the_example_is_the_golden_document(kind: Any) -> None:
    """And says every field that there is, so that none is shown by its default only."""
    [example] = re.findall(r"^```json\n(.+?)^```", sections()[kind.TYPE], re.MULTILINE | re.DOTALL)
    golden = json.loads((GOLDENS / f"{kind.TYPE.removeprefix('dev.sluice.')}.json").read_text("utf-8"))

    assert json.loads(example) == golden
    assert set(golden["data"]) == set(in_code(kind))
