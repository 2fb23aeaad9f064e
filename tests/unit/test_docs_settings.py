"""docs/settings.md names every setting that the code reads, and no other."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"^\| `(?P<variable>[A-Z0-9_]+)` \| (?P<default>[^|]*) \| (?P<about>[^|]*) \|$", re.MULTILINE)


def declared() -> Iterator[Field[Any]]:
    for path in sorted(ROOT.glob("*/**/*.py")):
        name = path.relative_to(ROOT)
        if name.parts[0] not in ("sluice", "segmenter", "triggers", "functions"):
            continue
        if "= setting(" not in path.read_text("utf-8"):
            continue
        module = importlib.import_module(".".join(name.with_suffix("").parts))
        for thing in vars(module).values():
            if isinstance(thing, type) and is_dataclass(thing) and thing.__module__ == module.__name__:
                yield from (each for each in fields(thing) if "variable" in each.metadata)


def default_of(each: Field[Any]) -> str:
    if each.default is MISSING:
        return "required"
    return f"`{each.default}`" if each.default != "" else "empty"


def test_the_document_says_what_the_code_says() -> None:
    """Variable, default and sentence agree, for each setting."""
    in_code = {(f.metadata["variable"], default_of(f), f.metadata["about"]) for f in declared()}
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    in_document = {(row["variable"], row["default"].strip(), row["about"].strip()) for row in ROW.finditer(text)}

    assert in_document - in_code == set()
    assert in_code - in_document == set()
