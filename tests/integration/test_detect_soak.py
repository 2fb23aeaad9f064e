"""A minute and a half of `make soak ARGS="detect 15m"`."""

import os
from pathlib import Path

import pytest

from sluice.local import tools
from tests.services.line import needs_tools
from tests.soak.detect import soak

pytestmark = [pytest.mark.line, pytest.mark.triton, pytest.mark.alone]


def test_8_cameras_are_looked_at_for_90_seconds(tmp_path: Path) -> None:
    """Memory and waiting time do not grow, and each chunk has one result."""
    needs_tools()
    if tools.find_triton() is None:
        pytest.fail("Triton is missing") if os.environ.get("CI") else pytest.skip("needs Triton: make tools")

    summary = soak(tmp_path, 90)

    print(summary)
    assert summary.problems == []
