"""What the page tells its viewer, on any screen and without a mouse."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from sluice import tokens
from tests.browser.conftest import CAMERA
from tests.browser.watched import opened
from tests.services.line import Line, eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]

PHONE = 360


@pytest.fixture(autouse=True)
def listed(watching: Line) -> None:
    """Some chunks."""
    eventually("chunks", lambda: len(list(watching.store().list(f"chunks/{CAMERA}/"))) >= 3)


def test_a_token_that_expires_ends_it_with_a_reason(watching: Line, chromium: Browser) -> None:
    """The page says so by itself, and shows nothing more."""
    secret, _ = tokens.create(watching.store(), lifetime=timedelta(seconds=5))
    root = watching.runtime()["endpoints"]["services"]["gateway"]
    page = opened(chromium, f"{root}/t/{secret}/watch/{CAMERA}")

    page.until("it says why", lambda: "no longer good" in page.text("message"), within_s=20)

    again = opened(chromium, f"{root}/t/{secret}/watch/{CAMERA}")
    assert "no longer good" in again.page.get_by_role("alert").inner_text()
    assert page.text("state") == "waiting"
    assert page.problems() == []


def test_a_camera_that_is_none_is_named(link: Callable[[str], str], chromium: Browser) -> None:
    """Not an endless wait."""
    page = opened(chromium, link("watch/nobody"))

    page.until("it says so", lambda: "There is no camera “nobody”" in page.text("message"))


def test_it_fits_a_phone(link: Callable[[str], str], chromium: Browser) -> None:
    """Nothing is wider than the screen, and a thumb hits every button."""
    page = opened(chromium, link(f"watch/{CAMERA}"), width=PHONE, height=640)
    page.plays()

    wide = page.page.evaluate("document.documentElement.scrollWidth")
    buttons = [each.bounding_box() for each in page.page.get_by_role("button").all()]

    assert wide <= PHONE
    assert len(buttons) == 5
    assert all(each and each["height"] >= 44 and each["x"] + each["width"] <= PHONE for each in buttons)


def test_it_needs_no_mouse(link: Callable[[str], str], chromium: Browser) -> None:
    """Every button is reached by Tab and named; keys do the same."""
    page = opened(chromium, link(f"watch/{CAMERA}"))
    page.plays()
    keyboard, focused = page.page.keyboard, list[str]()

    for _ in range(5):
        keyboard.press("Tab")
        focused.append(page.page.evaluate("document.activeElement.id"))
    keyboard.press("b")
    without = page.page.locator("#boxes").get_attribute("aria-pressed")
    page.page.evaluate("document.activeElement.blur()")
    keyboard.press(" ")
    page.until("it is paused", lambda: page.text("state") == "paused")
    keyboard.press(" ")

    page.plays()
    assert focused == ["play", "live", "boxes", "sound", "full"]
    assert without == "false"


def test_the_pace_makes_up_what_is_missing(link: Callable[[str], str], chromium: Browser) -> None:
    """Nobody sees a tenth; a little off is right, and nothing is gained by hurrying to where there is no more."""
    page = opened(chromium, link(f"watch/{CAMERA}"))
    module = "given => import(new URL('../page/pace.mjs', location.href)).then(found => given.map(found.rateFor))"
    cases = {
        (8, 5): 1,
        (8.9, 5): 1,
        (7.1, 5): 1,
        (9.5, 5): 1.05,
        (11, 5): 1.1,
        (11, 1): 1,
        (6.5, 4): 0.95,
        (3, 1): 0.9,
    }

    rates = page.page.evaluate(module, [{"latency": late, "target": 8, "ahead": ahead} for late, ahead in cases])

    assert rates == pytest.approx(list(cases.values()))
