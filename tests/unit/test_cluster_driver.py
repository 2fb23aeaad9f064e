"""What make test-cluster asks of the program that starts a cluster, in which order."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cluster import __main__ as driver
from tests.cluster.images import SLUICE

STARTER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/journal"
case "$1 $2" in
  "status ") test -e "$(dirname "$0")/running" ;;
  "image build") test ! -e "$(dirname "$0")/broken" ;;
  "kubectl get") cat "$(dirname "$0")/images" ;;
  "exec "*) exit 7 ;;
esac
"""


class Starter:
    """A program that writes down what it is told, and starts nothing."""

    def __init__(self, folder: Path) -> None:
        self.path, self.folder = folder / "starter", folder
        self.path.write_text(STARTER)
        self.path.chmod(0o755)
        (folder / "images").write_text("docker.io/library/other:1 ")

    def told(self) -> list[str]:
        """The first two words of each command."""
        return [" ".join(line.split()[:2]) for line in (self.folder / "journal").read_text().splitlines()]


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starter:
    found = Starter(tmp_path)
    monkeypatch.setenv("SLUICE_CLUSTER", str(found.path))
    monkeypatch.setattr(driver, "write_models", lambda _python: None)
    return found


IMAGES = ["kubectl get", "image build", "image load"] * 2


def test_what_was_started_is_stopped(starter: Starter) -> None:
    """The status is the tests'."""
    assert driver.main([]) == 7

    *before, tests, last = starter.told()
    assert before == ["status", "up", *IMAGES]
    assert tests.startswith("exec ")
    assert last == "down"


def test_what_ran_before_runs_afterwards(starter: Starter) -> None:
    """Somebody uses it."""
    (starter.folder / "running").touch()

    assert driver.main([]) == 7

    assert starter.told()[:-1] == ["status", *IMAGES]


def test_an_image_that_is_there_is_not_brought_again(starter: Starter) -> None:
    """Its tag tells its content."""
    (starter.folder / "images").write_text(f"docker.io/library/{SLUICE.tag()} docker.io/library/other:1")

    driver.main([])

    assert starter.told().count("image build") == 1


def test_an_image_that_cannot_be_built_ends_it(starter: Starter, capsys: pytest.CaptureFixture[str]) -> None:
    """What was started is stopped then, too."""
    (starter.folder / "broken").touch()

    assert driver.main([]) == 2

    assert starter.told() == ["status", "up", "kubectl get", "image build", "down"]
    assert "image" in capsys.readouterr().err


def test_without_a_cluster_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cluster, and images that it can pull."""
    for name in ("SLUICE_CLUSTER", "SLUICE_IMAGE", "SLUICE_TRITON_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", "/nowhere")

    assert driver.main([]) == 2

    assert "SLUICE_CLUSTER, or else SLUICE_IMAGE, SLUICE_TRITON_IMAGE" in capsys.readouterr().err


def test_other_content_has_another_tag(tmp_path: Path) -> None:
    """Knative makes a new Revision only for a new name."""
    more = SLUICE.containerfile.parent / "Makefile"

    assert replace(SLUICE, content=(*SLUICE.content, more)).tag() != SLUICE.tag()
