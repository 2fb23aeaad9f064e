"""`sluice model` against a runtime that runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sluice.local.tools import INSTALL, find_nats_server, find_triton
from sluice.models import image
from tests.data.models import tiny
from tests.services.line import eventually
from tests.services.server import needed

pytestmark = [pytest.mark.triton, pytest.mark.nats]
LIMIT_S = 120


def sluice(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "sluice.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def said(*arguments: object) -> str:
    """What a command that succeeds prints."""
    done = sluice(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A runtime with Triton and no function; one model was added before it started."""
    needed(find_triton(), f"Triton is not on this machine: {INSTALL}")
    needed(find_nats_server(), f"nats-server is not on this machine: {INSTALL}")
    folder = tmp_path_factory.mktemp("model-commands")
    (folder / "manifests").mkdir()
    state, labels = folder / "state", folder / "labels.txt"
    labels.write_text("red\ngreen\n", "utf-8")
    graph = tiny.yolox(folder / "yolox.onnx")
    assert "after the next" in said(
        "model", "add", "early", graph, "--style", "yolox", "--labels", labels, "--state", state
    )
    said("up", "--detach", "--no-minio", "--state", state, "--manifests", folder / "manifests")
    try:
        # Everything else does not wait for Triton.
        eventually("Triton is there", lambda: " ready " in sluice("model", "list", "--state", state).stdout)
        yield state
    finally:
        said("down", "--state", state)


def test_a_model_from_before_the_start_is_served(state: Path) -> None:
    """It is listed beside ours, with labels, long side and what Triton says of it."""
    lines = said("model", "list", "--state", state).splitlines()

    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["early"] == ["1", "64", "ready", "red,", "green"]
    assert rows["squares"] == ["1", "640", "ready", "square"]


def test_a_picture_is_tested(state: Path, tmp_path: Path) -> None:
    """Boxes in pixels of the picture, printed and drawn."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[8:16, 16:24] = (255, 0, 0)
    image.write(pixels, tmp_path / "picture.png")

    told = said("model", "test", "early", tmp_path / "picture.png", "-o", tmp_path / "found.png", "--state", state)

    assert told.splitlines()[0].split() == ["red", "1.00", "x", "16-24,", "y", "8-16"]
    found = image.read(tmp_path / "found.png")
    assert tuple(found[8, 20]) != tuple(pixels[8, 20])
    assert tuple(found[12, 20]) == (255, 0, 0)


def test_a_running_server_serves_what_is_added(state: Path, tmp_path: Path) -> None:
    """No restart; --replace takes effect at once, too."""
    graph, labels = tiny.rtdetr(tmp_path / "rtdetr.onnx"), tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n", "utf-8")
    add = ("model", "add", "late", graph, "--style", "rtdetr", "--labels", labels, "--state", state)

    first = said(*add)
    again = sluice(*add)
    labels.write_text("three\nfour\n", "utf-8")
    said(*add, "--replace")

    assert "serves it now" in first
    assert (again.returncode, "already" in again.stderr) == (1, True)
    assert "three, four" in said("model", "list", "--state", state)


def test_a_model_is_removed(state: Path, tmp_path: Path) -> None:
    """From the folder and from the running server; what is ours cannot be removed."""
    graph, labels = tiny.yolox(tmp_path / "yolox.onnx"), tmp_path / "labels.txt"
    labels.write_text("red\ngreen\n", "utf-8")
    said("model", "add", "short", graph, "--style", "yolox", "--labels", labels, "--state", state)

    told = said("model", "remove", "short", "--state", state)

    assert "let it go" in told
    assert "short" not in said("model", "list", "--state", state)
    assert sluice("model", "remove", "squares", "--state", state).returncode == 1


def test_what_cannot_be_is_one_sentence(state: Path, tmp_path: Path) -> None:
    """A model that nobody serves, a file that is no picture, and one that is no graph."""
    (tmp_path / "text").write_text("hello", "utf-8")
    picture = tmp_path / "picture.png"
    image.write(np.zeros((32, 32, 3), np.uint8), picture)

    failures = [
        sluice("model", "test", "nobody", picture, "--state", state),
        sluice("model", "test", "early", tmp_path / "text", "--state", state),
        sluice("model", "add", "text", tmp_path / "text", "--style", "ssd", "--state", state),
        sluice("model", "list", "--state", tmp_path / "elsewhere"),
    ]

    assert [each.returncode for each in failures] == [1] * 4
    assert [len(each.stderr.strip().splitlines()) for each in failures] == [1] * 4
