"""docs/cameras.md says of every field what the code says, and its examples work."""

import json
import re
import shlex
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from sluice.cameras import fields as rules
from sluice.cli import camera_file
from sluice.cli.main import main
from sluice.contracts.camera import Camera, Work

TEXT = (Path(__file__).parent.parent.parent / "docs" / "cameras.md").read_text("utf-8")
FUNCTIONS = f"at most {rules.MAX_FUNCTIONS} functions, each with a list of at most {rules.MAX_WORKS} entries"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = re.split(r"^##+ ", TEXT.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[re.sub(r"^`(.*)`$", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def type_name(kind: Any, name: str) -> str:
    hint = get_type_hints(kind)[name]
    text = hint.__name__ if hint in (str, bool, float) else str(hint)
    return re.sub(r"\b(\w+\.)+(?=\w)", "", text).replace("|", "\\|")


def default_of(each: Field[Any]) -> str:
    if each.default is MISSING:
        return "required" if each.default_factory is MISSING else "empty"
    return (
        "empty"
        if each.default == ""
        else f"{each.default:g}"
        if type(each.default) is float
        else json.dumps(each.default)
    )


def test_every_field_of_a_camera_is_documented() -> None:
    """With type, default and bounds."""
    expected = {name: rule.expected for name, rule in rules.CAMERA.items()} | {"functions": FUNCTIONS}

    documented = [tuple(row[:4]) for row in rows("Fields")]

    assert documented == [(f.name, type_name(Camera, f.name), default_of(f), expected[f.name]) for f in fields(Camera)]


def test_every_field_of_a_work_is_documented() -> None:
    """With type and bounds; none has a default of ours."""
    documented = [tuple(row[:3]) for row in rows("An entry of a function")]

    assert documented == [(f.name, type_name(Work, f.name), rules.WORK[f.name].expected) for f in fields(Work)]
    assert all(each.default is None for each in fields(Work))


def test_the_file_of_the_document_can_be_applied(tmp_path: Path) -> None:
    """So it can be copied."""
    [text] = re.findall(r"^```yaml\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "cameras.yaml").write_text(text, "utf-8")

    assert set(camera_file.read(tmp_path / "cameras.yaml")) == {"gate", "phone"}


@pytest.mark.parametrize("line", re.findall(r"^sluice .+$", TEXT, re.MULTILINE))
def test_the_commands_of_the_document_are_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They fail only as nothing runs here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cameras.yaml").write_text("[]", "utf-8")

    assert main(shlex.split(line)[1:]) == 1
    assert "no runtime runs in .sluice" in capsys.readouterr().err
