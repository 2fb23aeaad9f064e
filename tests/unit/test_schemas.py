"""docs/schemas is what the contracts say, and what events are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice import schemas
from sluice.contracts.catalogue import EVENTS

ROOT = Path(__file__).parent.parent.parent
GOLDENS = ROOT / "tests" / "data" / "events"
TYPES = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "$") -> Iterator[str]:
    """What a validator would find, for the words that our schemas use."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all(any(faults(value, each, root, where)) for each in schema["anyOf"]):
            yield f"{where}: none of anyOf"
        return
    wanted = schema.get("type")
    if wanted and (not isinstance(value, TYPES[wanted]) or (wanted != "boolean" and isinstance(value, bool))):
        yield f"{where}: no {wanted}"
        return
    yield from (f"{where}: no {name}" for name in schema.get("required", ()) if name not in value)
    if isinstance(value, dict):
        more = schema.get("additionalProperties", {})
        for name, each in value.items():
            yield from faults(each, schema.get("properties", {}).get(name, more), root, f"{where}.{name}")
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from faults(each, schema.get("items", {}), root, f"{where}[{number}]")


def test_they_are_as_the_contracts_say() -> None:
    """After a change: python -m sluice.schemas."""
    assert schemas.differences(schemas.FOLDER) == []


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_the_golden_event_is_valid(kind: Any) -> None:
    """Its data is what the schema describes."""
    golden = json.loads((GOLDENS / f"{kind.TYPE.removeprefix('dev.sluice.')}.json").read_text("utf-8"))
    schema = json.loads((schemas.FOLDER / f"{kind.TYPE}.json").read_text("utf-8"))

    assert list(faults(golden["data"], schema, schema)) == []
    assert list(faults({**golden["data"], "of-a-newer-version": 1}, schema, schema)) == []
    assert list(faults({}, schema, schema))


def test_a_wrong_type_is_found() -> None:
    """The schema is not so wide that it takes anything."""
    golden = json.loads((GOLDENS / "objects.detected.v1.json").read_text("utf-8"))["data"]
    golden["frames"][0]["objects"][0]["score"] = "high"
    schema = schemas.schema(next(each for each in EVENTS if each.KIND == "detections"))

    assert list(faults(golden, schema, schema)) == ["$.frames[0].objects[0].score: no number"]


def test_drift_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed, a missing and a left-over file."""
    assert schemas.main([str(tmp_path)]) == 0
    first, second = sorted(tmp_path.iterdir())[:2]
    first.write_text("{}")
    second.unlink()
    (tmp_path / "old.json").write_text("{}")
    capsys.readouterr()

    assert schemas.main(["--check", str(tmp_path)]) == 1
    assert set(capsys.readouterr().out.splitlines()) == {
        f"{first.name}: differs",
        f"{second.name}: missing",
        "old.json: of no event",
    }
    schemas.main([str(tmp_path)])
    assert schemas.main(["--check", str(tmp_path)]) == 0


def test_the_events_page_links_each() -> None:
    """Where a reader looks for it."""
    page = (ROOT / "docs" / "events.md").read_text("utf-8")

    assert [kind.TYPE for kind in EVENTS if f"](schemas/{kind.TYPE}.json)" not in page] == []
