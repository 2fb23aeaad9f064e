"""A machine's clock that a test may set; of the processes started under it alone, and with them the monotonic one."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Python runs it at each start, before anybody has taken time.time.
_SITE = """
import pathlib, time
_true, _ahead = time.time, pathlib.Path(__file__).with_name("ahead")
time.time = lambda: _true() + float(_ahead.read_text())
"""


class MachineClock:
    """set() takes effect at once, in processes that run, too."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SITE, "utf-8")
        self._ahead = folder / "ahead"
        self.set(0)
        self.environment = {"PYTHONPATH": f"{folder}:{ROOT}"}

    def set(self, ahead_s: float) -> None:
        """Put it *ahead_s* before the true time, or behind it."""
        draft = self._ahead.with_suffix(".part")
        draft.write_text(str(ahead_s), "utf-8")
        draft.replace(self._ahead)
