"""`make demo`: what a newcomer sees first."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

from sluice.local.tools import find_data
from tests.services.line import Line, eventually, needs_tools

pytestmark = pytest.mark.line

CLIPS = {"carphone": "carphone_pristine.mp4", "street": "bikes.mp4"}


@pytest.fixture
def demo(tmp_path: Path) -> Line:
    """A state folder with nothing in it."""
    needs_tools()
    return Line(tmp_path)


def cameras_seen(output: str) -> set[str]:
    return set(re.findall(r"^[\d:.]+ (\w+) +chunk\.inspected ", output, re.MULTILINE))


def expected_cameras() -> set[str]:
    return {"pattern", *(camera for camera, clip in CLIPS.items() if find_data(clip))}


def nothing_runs(demo: Line) -> bool:
    return not list((demo.state / "run").glob("*.json"))


def test_one_command_shows_an_event_of_each_camera_and_ends(demo: Line) -> None:
    """Status 0, and nothing is left running."""
    done = subprocess.run(demo.command("demo", "--once"), capture_output=True, text=True, timeout=150, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert cameras_seen(done.stdout) == expected_cameras()
    assert nothing_runs(demo)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stays_up_until_it_is_told_to_end(demo: Line, number: signal.Signals) -> None:
    """A second demo meanwhile uses the first one's runtime and sees all of its own events."""
    log = demo.home / "demo.log"
    with log.open("wb") as output:
        first = subprocess.Popen(demo.command("demo"), stdout=output, stderr=output, start_new_session=True)
    try:
        eventually(
            "it shows its events", lambda: "stays up" in log.read_text() or first.poll() is not None, within_s=150
        )
        assert first.poll() is None, log.read_text()
        second = subprocess.run(
            demo.command("demo", "--once"), capture_output=True, text=True, timeout=150, check=False
        )
    finally:
        first.send_signal(number)
        first.wait(60)

    assert cameras_seen(second.stdout) == expected_cameras()
    assert "using the runtime" in second.stdout
    assert first.returncode == 0
    assert nothing_runs(demo)
