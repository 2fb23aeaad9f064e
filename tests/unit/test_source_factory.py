"""A camera whose source cannot be made says so, and takes nobody along."""

import sys

import pytest

from segmenter.source import SourceError
from segmenter.sources.factory import source_of
from segmenter.sources.pushed import PushedSource
from sluice.contracts.camera import Camera


def refusal(source: str) -> SourceError:
    """Why it cannot be opened."""
    made = source_of(Camera(name="gate", source=source), silent_s=10.0)
    with pytest.raises(SourceError) as caught:
        made.open()
    made.interrupt()
    return caught.value


def test_a_camera_without_a_source_pushes() -> None:
    """It is waited for."""
    assert isinstance(source_of(Camera(name="gate"), silent_s=10.0), PushedSource)


def test_what_cannot_be_understood_is_refused_once() -> None:
    """No attempt mends it; a password in it is not shown."""
    error = refusal("gopher://user:secret@camera/1")

    assert (error.reason, error.final) == ("unsupported", True)
    assert "secret" not in str(error)


def test_a_bug_in_a_source_is_that_cameras_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others of its worker are not touched by it."""
    monkeypatch.setitem(sys.modules, "segmenter.sources.testpattern", None)

    error = refusal("test://?size=64x48")

    assert (error.reason, error.final) == ("unsupported", True)
    assert "in the segmenter" in error.detail
