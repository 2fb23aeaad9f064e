"""`make soak ARGS="hls 20m"`: a live playlist and a viewer, refresh after refresh, while their line is disturbed.

Each refresh is compared with the one before and read by npm's strict parser; every chunk has to be listed, and the page
has to play on. In turn the packager hears nothing for a while, the gateway, the camera's process and the packager are
killed, and the playlist is deleted.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from sluice import names, tokens
from sluice.contracts.camera import Camera
from tests.browser.conftest import CAMERA, FLAGS, SOURCE, add, needed
from tests.browser.others import strict
from tests.browser.watched import Watched, opened
from tests.playlists import Refreshes
from tests.services.line import Line, copy_manifests, eventually, needs_tools

LONGEST_CALM_S = 120
ROUNDS = 5
"""Of faults, at least: a short soak has them all, too."""
OUTAGE_S = 15
BACK_S = 20
"""After a fault: a chunk of the camera's next session, and where viewers stand behind it."""
STALL_S = 0.5
STALL_WHEN_BUSY_S = 3.0
"""On a machine that others keep busy, a browser that decodes by itself stutters; it may not lose a chunk's length."""
LIVE = names.live_playlist_key(CAMERA, 4)
INDEX = names.multivariant_key(CAMERA)


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
            eventually("its index", lambda: list(line.store().list(INDEX)))
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
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("chromium", "chromium"), args=FLAGS)
        page = opened(browser, f"{root}/watch/{CAMERA}")
        page.plays()
        judge = Judge(root)
        faults = Faults(line, judge.refreshes, every_s=min(LONGEST_CALM_S, seconds / (ROUNDS + 1)))
        watch(page, judge, faults, seconds)
        print(f"latency {page.text('latency')}; load of the machine {os.getloadavg()[0]:.1f}")
        print(f"stalls while it was busy: {len(judge.excused)}, at most {max(judge.excused, default=0):.1f} s")
        found = page.problems()
        browser.close()
    return [*judge.problems, *judge.left_out(line, deleted=faults.deleted), *found]


def watch(page: Watched, judge: "Judge", faults: "Faults", seconds: int) -> None:
    """Look at it for so long."""
    page.mark()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        judge.look()
        page.rest(0.5)
        stall_s = page.longest_stall_s()
        page.mark()
        if stall_s > STALL_S and faults.is_calm:
            judge.stood(stall_s, faults.told)
        faults.go_on()
    faults.mend()


@dataclass
class Judge:
    """Reads what players read, and finds fault with it."""

    root: str
    refreshes: Refreshes = field(default_factory=Refreshes)
    problems: list[str] = field(default_factory=list)
    excused: list[float] = field(default_factory=list)
    """Seconds that the picture stood still while the machine was busy."""
    _known: set[str] = field(default_factory=set)

    def look(self) -> None:
        """The live playlist and the index as they are now."""
        live, index = (read(f"{self.root}/{key}") for key in (LIVE, INDEX))
        if live and live not in self._known:
            try:
                self.refreshes.see(live)
            except AssertionError as error:
                self.note(str(error))
        fresh = [each for each in (live, index) if each and each not in self._known]
        if fresh:
            self._known.update(fresh)
            for said in strict(fresh):
                if said:
                    self.note(f"hls-parser: {said}")

    def note(self, problem: str) -> None:
        """Go on after it, to see whether it is the only one."""
        print(problem, flush=True)
        self.problems.append(problem)

    def stood(self, stall_s: float, when: str) -> None:
        """The picture did, without a fault to excuse it."""
        busy = os.getloadavg()[0] > 2 * (os.cpu_count() or 1)
        if busy and stall_s <= STALL_WHEN_BUSY_S:
            self.excused.append(stall_s)
        else:
            self.note(f"the picture stood still for {stall_s:.1f} s, {when}")

    def left_out(self, line: Line, *, deleted: int) -> list[str]:
        """Chunks that were never listed; each deletion of the playlist may cost one that nobody had read of."""
        listed = self.refreshes.seen
        stored = [names.parse_chunk_key(each.key) for each in line.store().list(f"chunks/{CAMERA}/")]
        wanted = [each for each in stored if min(listed) <= each.seq <= max(listed)]
        missing = [each.key for each in wanted if each.seq not in listed or listed[each.seq].gap]
        print(f"refreshes: {self.refreshes.count}; chunks: {len(wanted)}, listed {len(wanted) - len(missing)}")
        print(f"sessions: {len({each.session for each in wanted})}; playlist deleted: {deleted}")
        return [] if len(missing) <= deleted else [f"never listed: {', '.join(missing)}"]


class Faults:
    """One after the other; each has an end, and after that the picture has to be back in time."""

    def __init__(self, line: Line, refreshes: Refreshes, *, every_s: float) -> None:
        self._line, self._refreshes = line, refreshes
        self._every_s = every_s
        self._kinds = cycle((self._outage, self._gateway, self._segmenter, self._playlist, self._packager))
        self._next = time.monotonic() + every_s
        self._calm = 0.0
        self._mend: tuple[float, Callable[[], object]] | None = None
        self.deleted = 0
        self.told = "before any fault"

    @property
    def is_calm(self) -> bool:
        """Nothing excuses a picture that stands still."""
        return time.monotonic() > self._calm

    def go_on(self) -> None:
        """Begin or end one, when it is time."""
        now = time.monotonic()
        if self._mend and now > self._mend[0]:
            self.mend()
        if now > self._next:
            self._next, self._calm = now + self._every_s, now + BACK_S
            next(self._kinds)()

    def mend(self) -> None:
        """End the one that is there."""
        if self._mend:
            self._mend[1]()
            self._mend = None

    def _outage(self) -> None:
        trigger, aside = self._line.manifests / "chunk-stored-to-package.yaml", self._line.home / "aside.yaml"
        trigger.rename(aside)
        self._mend = time.monotonic() + OUTAGE_S, lambda: aside.rename(trigger)
        self._calm += OUTAGE_S
        self._tell(f"the packager hears nothing for {OUTAGE_S} s")

    def _gateway(self) -> None:
        self._kill("gateway", self._line.instances("gateway"))

    def _packager(self) -> None:
        self._kill("packager", self._line.instances("package"))

    def _segmenter(self) -> None:
        self._kill("segmenter", [self._line.pid("segmenter")])

    def _playlist(self) -> None:
        self._refreshes.lose()
        self._line.store().delete([LIVE])
        self.deleted += 1
        self._tell("playlist deleted")

    def _kill(self, what: str, pids: list[int]) -> None:
        """As the kernel would when memory is short."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._tell(f"{what} killed ({len(pids)} processes)")

    def _tell(self, what: str) -> None:
        self.told = f"after: {what}"
        print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


def read(url: str) -> str:
    """The playlist; empty while the gateway is started anew, or the playlist is gone."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""
    return text


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
