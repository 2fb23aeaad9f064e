"""What operators are told of metrics is what the parts export."""

import re
from functools import cache
from pathlib import Path

from tests.exported import Exported, pages

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "operations.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `(?P<name>sluice_[a-z_]+)` \| (?P<kind>counter|gauge|histogram) \| (?P<labels>[^|]*) \| (?P<about>[^|]*) \|$",
    re.MULTILINE,
)


@cache
def exported() -> Exported:
    return Exported(*pages())


def section(heading: str) -> str:
    return DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_metric_of_functions_and_bridge_is_listed() -> None:
    """In name, type, labels and sentence; those of the segmenter and of detect have sections of their own."""
    detect = {row["name"] for row in ROW.finditer(section("Detect metrics"))} - {"sluice_stage_seconds"}
    others = {
        name: family
        for name, family in exported().families.items()
        if not name.startswith(("sluice_camera_", "sluice_segmenter_")) and name not in detect
    }

    listed = {
        row["name"]: (row["kind"], row["about"], frozenset(re.findall("`([a-z]+)`", row["labels"])))
        for row in ROW.finditer(section("Metrics of functions and bridge"))
    }

    assert listed == {name: (kind, about, labels - {"part"}) for name, (kind, about, labels) in others.items()}


def test_advice_is_on_metrics_that_are_there() -> None:
    """Nobody is sent to look at a number that was renamed."""
    advised = set(re.findall(r"`(sluice_[a-z_]+)`", section("What the numbers ask of you") + section("Monitoring")))

    assert advised <= exported().families.keys()


def test_advice_is_on_settings_and_commands_that_are_there() -> None:
    """The same for what is to be turned."""
    root = Path(__file__).parent.parent.parent
    settings = (root / "docs" / "settings.md").read_text("utf-8")
    commands = {path.stem for path in (root / "sluice" / "cli").glob("*.py")}

    assert {each for each in re.findall(r"`(SLUICE_[A-Z_]+)`", DOCUMENT) if f"`{each}`" not in settings} == set()
    assert set(re.findall(r"`sluice ([a-z]+)\b", DOCUMENT)) <= commands
