"""`make soak ARGS="hls 20m"`: a live playlist and a viewer, refresh after refresh, while their line is disturbed.

Each refresh is compared with the one before and read by npm's strict parser; the page has to play on. Once in three
minutes the packager, the gateway or the camera's process is killed.
"""

import contextlib
import os
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from sluice import tokens
from sluice.contracts.camera import Camera
from tests.browser.conftest import CAMERA, FLAGS, SOURCE, add, needed
from tests.browser.others import strict
from tests.browser.watched import Watched, opened
from tests.playlists import Refreshes
from tests.services.line import Line, copy_manifests, eventually, needs_tools

DISTURBED_S = 180
STALL_S = 0.5
BACK_S = 20
"""After a process was killed: a chunk of the camera's next session, and where viewers stand behind it."""


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
            yield line
        finally:
            line.stop()


def main(seconds: int) -> int:
    """Status 1: a rule was broken, or the picture stood still."""
    try:
        with running() as line, sync_playwright() as playwright:
            secret, _ = tokens.create(line.store())
            root = f"{line.runtime()['endpoints']['services']['gateway']}/t/{secret}"
            browser = playwright.chromium.launch(executable_path=needed("chromium", "chromium"), args=FLAGS)
            page = opened(browser, f"{root}/watch/{CAMERA}")
            page.plays()
            problems = soak(line, page, f"{root}/hls/{CAMERA}/live-4.m3u8", seconds)
            browser.close()
    except (pytest.fail.Exception, AssertionError) as error:
        sys.exit(str(error))
    print(f"violations: {len(problems)}", *problems, sep="\n")
    return 1 if problems else 0


def soak(line: Line, page: Watched, url: str, seconds: int) -> list[str]:
    """What was found against it."""
    refreshes, problems, seen = Refreshes(), list[str](), set[str]()
    parts = cycle(("package", "gateway", "segmenter"))
    page.mark()
    end, disturbed, calm = time.monotonic() + seconds, time.monotonic() + DISTURBED_S, 0.0
    while (now := time.monotonic()) < end:
        text = read(url)
        if text and text not in seen:
            seen.add(text)
            with noted(problems):
                refreshes.see(text)
            problems += [f"hls-parser: {each}" for each in strict([text]) if each]
        page.rest(0.5)
        stall_s = page.longest_stall_s()
        page.mark()
        if stall_s > STALL_S and now > calm:
            problems.append(f"the picture stood still for {stall_s:.1f} s")
        if now > disturbed:
            kill(line, next(parts))
            disturbed, calm = now + DISTURBED_S, now + BACK_S
    print(f"refreshes: {refreshes.count}, entries: {len(refreshes.seen)}, latency {page.text('latency')}")
    return [*problems, *page.problems()]


def read(url: str) -> str:
    """The playlist; empty while the gateway is started anew."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""
    return text


@contextlib.contextmanager
def noted(problems: list[str]) -> Iterator[None]:
    """Go on after a broken rule, to see whether it was the only one."""
    try:
        yield
    except AssertionError as error:
        problems.append(str(error))


def kill(line: Line, part: str) -> None:
    """A process of it, as the kernel would when memory is short."""
    print(f"killed: {part}", flush=True)
    pids = [line.pid(part)] if part == "segmenter" else line.instances(part)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
