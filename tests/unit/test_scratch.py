"""Where the tests' servers write."""

import sys
from pathlib import Path

import pytest

from tests import scratch


def test_what_has_room_is_taken(tmp_path: Path) -> None:
    """For itself."""
    assert scratch.in_memory(tmp_path, enough_bytes=1) == tmp_path


@pytest.mark.parametrize(("name", "enough"), [("", sys.maxsize), ("nowhere", 1)])
def test_what_has_none_is_not(tmp_path: Path, name: str, enough: int) -> None:
    """Too small, or not there: pytest's own choice is as good."""
    assert scratch.in_memory(tmp_path / name, enough_bytes=enough) is None


def test_a_folder_is_no_bigger_than_what_memory_is_left(tmp_path: Path) -> None:
    """It may be as big as the machine's memory, of which programs have most."""
    said = tmp_path / "meminfo"
    said.write_text("MemTotal:       24000000 kB\nMemAvailable:       1024 kB\n")

    assert scratch.available_bytes(said) == 1 << 20
    assert scratch.available_bytes(tmp_path / "none") == 0
