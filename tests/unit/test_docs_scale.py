"""The sums of docs/scale.md come out, and begin with what docs/measured.md says."""

import ast
import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
TEXT = (DOCS / "scale.md").read_text("utf-8")
INPUT = re.compile(
    r"^\| `(?P<name>\w+)` \| (?P<value>[\d.,]+) \| (?P<unit>[^|]+) \| (?P<source>[^|]+) \|$", re.MULTILINE
)
DERIVED = re.compile(r"^\| `(?P<name>\w+)` \| `(?P<sum>[^`]+)` \| (?P<value>[\d.,]+) \| [^|]+ \|$", re.MULTILINE)
ROUNDED: Final = 0.01
"""Three digits are shown."""
OPERATORS: Final = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def number(text: str) -> float:
    return float(text.replace(",", ""))


def result(arithmetic: str, known: Mapping[str, float]) -> float:
    """Of a sum of numbers and names."""

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return float(OPERATORS[type(node.op)](of(node.left), of(node.right)))
        if isinstance(node, ast.Name):
            return known[node.id]
        assert isinstance(node, ast.Constant), ast.dump(node)
        return float(node.value)  # type: ignore[arg-type]  # a number, or this fails

    return of(ast.parse(arithmetic, mode="eval").body)


def known() -> dict[str, float]:
    """Every name of both tables; what is derived in full, not as it is shown."""
    values = {row["name"]: number(row["value"]) for row in INPUT.finditer(TEXT)}
    for row in DERIVED.finditer(TEXT):
        values[row["name"]] = result(row["sum"], values)
    return values


@pytest.mark.parametrize("row", list(DERIVED.finditer(TEXT)), ids=lambda row: row["name"])
def test_a_sum_comes_out(row: re.Match[str]) -> None:
    """From the inputs above it, as they stand there."""
    assert number(row["value"]) == pytest.approx(known()[row["name"]], rel=ROUNDED)


def test_every_input_is_used_and_says_where_it_is_from() -> None:
    """An assumption that is called one, a run that can be repeated, a default, or a document."""
    used = {name for row in DERIVED.finditer(TEXT) for name in re.findall(r"[a-z_]\w*", row["sum"])}
    rows = list(INPUT.finditer(TEXT))

    assert {row["name"] for row in rows} <= used
    sources = re.compile("assumed|the same|both|default|`make |measured|`long_side`")
    assert [row["name"] for row in rows if not sources.search(row["source"])] == []


def test_what_was_measured_is_what_the_record_says() -> None:
    """Both change together."""
    record = (DOCS / "measured.md").read_text("utf-8").partition("## The load of a chunk")[2]
    rows = {row["name"]: row["value"] for row in INPUT.finditer(TEXT) if "bench-load" in row["source"]}

    assert rows
    assert {name: value for name, value in rows.items() if not re.search(rf"\b{re.escape(value)}\b", record)} == {}
