"""Real services as fixtures: a missing one is skipped by name on a laptop, and fails in CI."""

import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests import scratch

# A busy machine is no fault of what is tested.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], parent=hypothesis.settings.default
)
hypothesis.settings.load_profile("busy")

# Who starts this in the background of a script has SIGINT ignored, and so would have all that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest's own name for where its folders are; whoever sets it has chosen already.
TEMP_ROOT = "PYTEST_DEBUG_TEMPROOT"
if TEMP_ROOT not in os.environ and (memory := scratch.in_memory()):
    os.environ[TEMP_ROOT] = os.environ["TMPDIR"] = tempfile.tempdir = str(memory)

BROWSER = Path(__file__).parent / "browser"

pytest_plugins = [
    "tests.services.line",  # the first, as the others import it
    "tests.services.minio",
    "tests.services.nats",
    "tests.services.triton",
    "tests.services.rtsp",
]


def pytest_report_header() -> str:
    """What a slow run was slowed by is asked first."""
    return f"servers' files: {os.environ.get(TEMP_ROOT, 'on disk, which others may keep waiting')}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser needs both cores, and what it shows is timed."""
    for item in items:
        if item.path.is_relative_to(BROWSER):
            item.add_marker(pytest.mark.alone)
