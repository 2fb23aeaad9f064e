"""`make soak ARGS="hls 20m"`: a live playlist and a viewer, refresh after refresh, while their line is disturbed.

Each refresh is compared with the one before and read by npm's strict parser; every chunk has to be listed, and the page
has to play on. In turn the packager hears nothing for a while, the gateway, the camera's process and the packager are
killed, the playlist is deleted, and a second packager is at work.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from sluice import names, tokens
from sluice.contracts.camera import Camera
from tests.browser.conftest import CAMERA, FLAGS, SOURCE, add, needed
from tests.browser.faults import chunks, kill, second_packager, without_packager
from tests.browser.judge import Judge
from tests.browser.watched import Watched, opened
from tests.services.line import Line, copy_manifests, eventually, needs_tools

LONGEST_CALM_S = 120
KINDS = 6
"""Of faults; a short soak has them all, too."""
LASTS_S = 15
"""A fault that is a state and no blow."""
BACK_S = 20
"""After a fault: a chunk of the camera's next session, and where viewers stand behind it."""
STALL_S = 0.5
STALL_WHEN_BUSY_S = 3.0
"""On a machine that others keep busy, a browser that decodes by itself stutters; it may not lose a chunk's length."""
KEY = names.live_playlist_key(CAMERA, 4)
LIVE = Path(KEY).name


@contextlib.contextmanager
def running() -> Iterator[Line]:
    """The shipped line with one camera, and nobody who looks at pictures."""
    needs_tools()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        line = Line(Path(folder))
        copy_manifests(line, without=("detect", "sweep", "inspect", "index"))
        try:
            line.start()
            add(line, Camera(name=CAMERA, source=SOURCE, functions={}))
            eventually("chunks", lambda: len(list(line.store().list(f"chunks/{CAMERA}/"))) >= 4)
            eventually("its index", lambda: list(line.store().list(names.multivariant_key(CAMERA))))
            yield line
        finally:
            line.stop()


def main(seconds: int) -> int:
    """Status 1: a rule was broken, or the picture stood still."""
    try:
        with running() as line:
            problems = soak(line, seconds)
    except (pytest.fail.Exception, AssertionError) as error:
        sys.exit(str(error))
    print(f"violations: {len(problems)}", *problems, sep="\n")
    return 1 if problems else 0


def soak(line: Line, seconds: int) -> list[str]:
    """What was found against it; prints what it did."""
    secret, _ = tokens.create(line.store())
    root = f"{line.runtime()['endpoints']['services']['gateway']}/t/{secret}"
    judge = Judge(root, CAMERA)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("chromium", "chromium"), args=FLAGS)
        page = opened(browser, f"{root}/watch/{CAMERA}")
        page.plays()
        judge.start()
        with Faults(line, judge, every_s=min(LONGEST_CALM_S, seconds / (KINDS + 1))) as faults:
            stalls = watch(page, faults, seconds)
        judge.stop()
        print(f"latency {page.text('latency')}; load of the machine {os.getloadavg()[0]:.1f}")
        found = page.problems()
        browser.close()
    return [*stalls, *judge.verdict(), *left_out(line, judge, deleted=faults.deleted), *found]


def watch(page: Watched, faults: "Faults", seconds: int) -> list[str]:
    """Look at it for so long; says when the picture stood still without a fault to excuse it."""
    problems, excused = list[str](), list[float]()
    page.mark()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        page.rest(0.5)
        stall_s = page.longest_stall_s()
        page.mark()
        if stall_s > STALL_S and faults.is_calm:
            busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
            if busy and stall_s <= STALL_WHEN_BUSY_S:
                excused.append(stall_s)
            else:
                problems.append(f"the picture stood still for {stall_s:.1f} s, after: {faults.last}")
        faults.go_on()
    print(f"stalls while the machine was busy: {len(excused)}, at most {max(excused, default=0):.1f} s")
    return problems


def left_out(line: Line, judge: Judge, *, deleted: int) -> list[str]:
    """Chunks that were never listed; each deletion of the playlist may cost one that nobody had read of."""
    refreshes = judge.refreshes[LIVE]
    listed = refreshes.seen
    wanted = [each for each in chunks(line, CAMERA) if min(listed) <= each.seq <= max(listed)]
    missing = [each.key for each in wanted if each.seq not in listed or listed[each.seq].gap]
    print(f"times read: {refreshes.count}; chunks: {len(wanted)}, listed {len(wanted) - len(missing)}")
    print(f"sessions: {len({each.session for each in wanted})}; playlist deleted: {deleted}")
    return [] if len(missing) <= deleted else [f"never listed: {', '.join(missing)}"]


class Faults(contextlib.ExitStack):
    """One after the other; each has an end, and after that the picture has to be back in time."""

    def __init__(self, line: Line, judge: Judge, *, every_s: float) -> None:
        super().__init__()
        self._line, self._judge, self._every_s = line, judge, every_s
        kinds = (self._outage, self._gateway, self._segmenter, self._playlist, self._packager, self._second)
        self._kinds = cycle(kinds)
        self._next = time.monotonic() + every_s
        self._over = self._calm = 0.0
        self.deleted = 0
        self.last = "nothing"

    @property
    def is_calm(self) -> bool:
        """Nothing excuses a picture that stands still."""
        return time.monotonic() > self._calm

    def go_on(self) -> None:
        """Begin or end one, when it is time."""
        now = time.monotonic()
        if now > self._over:
            self.close()
        if now > self._next:
            self._next = now + self._every_s
            self.last = next(self._kinds)()
            self._calm = max(self._over, time.monotonic()) + BACK_S
            print(f"{time.strftime('%H:%M:%S')} {self.last}", flush=True)

    def _lasting(self, fault: contextlib.AbstractContextManager[None]) -> None:
        self.enter_context(fault)
        self._over = time.monotonic() + LASTS_S

    def _outage(self) -> str:
        self._lasting(without_packager(self._line))
        return "the packager hears nothing"

    def _second(self) -> str:
        self._lasting(second_packager(self._line))
        return "a second packager"

    def _gateway(self) -> str:
        kill(self._line.instances("gateway"))
        return "gateway killed"

    def _packager(self) -> str:
        kill(self._line.instances("package"))
        return "packager killed"

    def _segmenter(self) -> str:
        kill([self._line.pid("segmenter")])
        return "segmenter killed"

    def _playlist(self) -> str:
        self._judge.lose(LIVE, lambda: self._line.store().delete([KEY]))
        self.deleted += 1
        return "playlist deleted"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
