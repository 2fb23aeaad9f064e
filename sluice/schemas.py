"""The JSON Schema of every event's data, made from its contract: `python -m sluice.schemas [--check]`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from sluice.contracts.catalogue import EVENTS

FOLDER: Final = Path(__file__).parent.parent / "docs" / "schemas"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema(contract: type[Any]) -> dict[str, Any]:
    """Of an event's data; fields that it does not name are allowed, as contracts grow by them."""
    event_type: str = contract.TYPE
    return {"$schema": _DIALECT, "title": event_type, **msgspec.json.schema(contract)}


def texts() -> dict[str, str]:
    """The text of every schema, by file name."""
    return {f"{each.TYPE}.json": json.dumps(schema(each), indent=2, ensure_ascii=False) + "\n" for each in EVENTS}


def differences(folder: Path) -> list[str]:
    """What in *folder* is not as the contracts say, a sentence each."""
    wanted = texts()
    found = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    return [
        *(f"{name}: {'differs' if name in found else 'missing'}" for name in wanted if found.get(name) != wanted[name]),
        *(f"{name}: of no event" for name in found if name not in wanted),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write them, or with --check compare them: status 1 when they differ."""
    parser = argparse.ArgumentParser(prog="python -m sluice.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 when something differs")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="default docs/schemas")
    options = parser.parse_args(arguments)
    found = differences(options.folder)
    for sentence in found:
        print(sentence)  # noqa: T201 (it is a command)
    if options.check:
        return 1 if found else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for path in options.folder.glob("*.json"):
        path.unlink()
    for name, text in texts().items():
        (options.folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
