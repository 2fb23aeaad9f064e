"""The command as a whole: what cannot be done is a sentence."""

import sys
from pathlib import Path

import pytest

from sluice.cli.main import main


def test_a_package_that_an_image_leaves_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The local runtime has no place in a cluster, and its packages none in the image."""
    monkeypatch.delitem(sys.modules, "sluice.local.runtime", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    assert main(["up", "--state", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "the Python package 'aiohttp' is missing: run this in a checkout, see `make help`\n"
    )


def test_a_module_of_ours_that_is_missing_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack says more to whoever has to mend it."""
    monkeypatch.setitem(sys.modules, "sluice.local.runtime", None)

    with pytest.raises(ModuleNotFoundError, match="import of sluice"):
        main(["up", "--state", str(tmp_path)])
