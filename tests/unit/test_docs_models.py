"""docs/models.md says what the command and the model repository do."""

import argparse
import re

from sluice.cli import model
from sluice.local.tools import ROOT
from sluice.models import configuration, repository
from sluice.models.styles import STYLES

TEXT = (ROOT / "docs" / "models.md").read_text("utf-8")


def options(*names: str) -> set[str]:
    """Long options of a verb of `sluice model`."""
    parser = argparse.ArgumentParser()
    model.add(parser.add_subparsers())
    for name in ("model", *names):
        (verbs,) = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
        parser = verbs.choices[name]
    return {option for each in parser._actions for option in each.option_strings if option.startswith("--")}


def test_every_option_is_explained() -> None:
    """And none that is not there."""
    table = TEXT[TEXT.index("## Bring your own") : TEXT.index("## The contract")]
    told = {each for each in re.findall(r"`(--[a-z-]+)[ `]", table) if not each.startswith("--detect")}

    assert told == options("add") - {"--help", "--state", "--style", "--repository"}


def test_every_style_has_its_row() -> None:
    """The three that `sluice model add` knows."""
    assert all(f"| `{style}` |" in TEXT for style in STYLES)


def test_every_built_in_model_has_its_row() -> None:
    """With its licence and source."""
    names = {path.name for path in repository.MODELS.iterdir() if (path / "config.pbtxt").is_file()}

    assert {name for name in names if f"| `{name}` |" not in TEXT} == set()


def test_built_in_models_are_as_their_wrapper_needs_them() -> None:
    """A style, labels, and the names of the net's outputs, for servers that have it apart."""
    for name in ("faces", "objects"):
        given = configuration.parameters((repository.MODELS / name / "config.pbtxt").read_text("utf-8"))
        assert {"style", "labels", "long_side", "net_outputs", "net_batch", "min_score", "max_overlap"} <= set(given)


def test_commands_are_written_as_they_are() -> None:
    """Each `sluice model VERB` of the page is a verb."""
    verbs = set(re.findall(r"sluice model ([a-z]+)", TEXT))

    assert all("--state" in options(verb) for verb in verbs)
    assert {"add", "list", "test", "remove", "repository"} <= verbs
