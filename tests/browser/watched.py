"""A page as its viewer has it: did the picture stand still, how old is it, and does the box lie on the object."""

import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from segmenter.pattern import read_strip, square_at

PROBE = Path(__file__).with_name("probe.js")
PLAIN = Path(__file__).with_name("plain.html")
Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One picture on the page."""

    taken_ms: int
    """When it was drawn, by the clock in its strip."""
    age_s: float
    """Since then."""
    square: Corners
    """Where the object is, by the number in its strip."""
    box: Corners | None
    """What is drawn over it."""

    @property
    def overlap(self) -> float:
        """Intersection over union of both."""
        return 0.0 if self.box is None else overlap(self.box, self.square)


class Watched:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        page.add_init_script(path=PROBE)
        page.on("console", self._note)

    def _note(self, message: Any) -> None:
        # A failed request is part of some tests; the page says what it means for the viewer.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.console.append(message.text)

    def open(self, url: str) -> "Watched":
        """Go there."""
        self.page.goto(url)
        return self

    def text(self, part: str) -> str:
        """What an element says."""
        return self.page.locator(f"#{part}").inner_text()

    def until(self, what: str, holds: Callable[[], Any], *, within_s: float = 30) -> float:
        """Let the page go on until it holds; the seconds that it took."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > within_s:
                pytest.fail(f"not within {within_s:g} s: {what}; {self.text('state')!r} {self.text('message')!r}")
            self.page.wait_for_timeout(50)
        return time.monotonic() - began

    def plays(self, *, within_s: float = 30) -> float:
        """Wait until the picture moves; the seconds that it took."""
        before = self.seconds()
        return self.until("the picture moves", lambda: self.seconds() > before, within_s=within_s)

    def rest(self, seconds: float) -> None:
        """Look at it for so long."""
        self.page.wait_for_timeout(seconds * 1000)

    def seconds(self) -> float:
        """The picture's media time."""
        now: float = self.page.evaluate("document.querySelector('video').currentTime")
        return now

    def mark(self) -> None:
        """Forget how it went until now."""
        self.page.evaluate("probe.moves.splice(0, probe.moves.length - 1)")

    def longest_stall_s(self) -> float:
        """The longest time without a movement since the mark, the one until now included."""
        moves, now = self.page.evaluate("[probe.moves, performance.now()]")
        times = [at for at, _ in moves] + [now]
        longest: float = max(after - before for before, after in itertools.pairwise(times))
        return longest / 1000

    def latency_s(self) -> float:
        """What the page says; infinite while it says nothing, as nothing plays."""
        return float(self.text("latency").partition(" ")[0] or "inf")

    def looks(self, count: int, *, every_ms: int = 200) -> list[Look]:
        """So many pictures with what is drawn over them."""
        return [_look(each) for each in self.page.evaluate(f"probe.look({count}, {every_ms})")]

    def problems(self) -> list[str]:
        """Errors of scripts, and what the content security policy has forbidden."""
        errors: list[str] = self.page.evaluate("probe.errors")
        return [*errors, *self.console]


def opened(browser: Browser, url: str, *, width: int = 1000, height: int = 800) -> Watched:
    """A page of its own, and nothing from the cache of another."""
    return Watched(browser.new_page(viewport={"width": width, "height": height})).open(url)


def plain(browser: Browser, root: str, camera: str) -> Watched:
    """A player beside the gateway's files that nobody told anything but where the index is."""
    page = browser.new_page()
    page.route(re.compile(r"/plain\?"), lambda route: route.fulfill(path=PLAIN))
    return Watched(page).open(f"{root}plain?of=hls/{camera}/index.m3u8")


def overlap(a: Corners, b: Corners) -> float:
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _look(given: dict[str, Any]) -> Look:
    seen = given["strip"]
    image = np.zeros((seen["height"], seen["width"]), np.uint8)
    image[-seen["rows"] :] = np.array(seen["grey"], np.uint8).reshape(seen["rows"], seen["width"])
    found = read_strip(image)
    age_s = (given["at"] - found.utc_ms) / 1000 if found.utc_ms else 0.0
    return Look(
        taken_ms=found.utc_ms or 0,
        age_s=age_s,
        square=square_at(found.number),
        box=given["box"] and tuple(given["box"]),
    )
