"""A running line whose camera shows its number and clock, and Debian's Chromium to look at it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, sync_playwright

from sluice import cameras, tokens
from sluice.contracts.camera import Camera, Work
from sluice.local.tools import find_triton
from tests.services.line import Line, copy_manifests, eventually, needs_tools

CAMERA = "pattern"
SOURCE = "test://?size=640x360&fps=25&gop=25&bf=2&audio=1&live=1"
"""A keyframe a second: chunks of three seconds."""
CHUNK_S = 3
FLAGS = ["--autoplay-policy=no-user-gesture-required", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
"""Chromium refuses its sandbox to root."""


def needed(program: str, package: str) -> str:
    """Where a program of Debian is; skips by name on a laptop, fails in CI."""
    found = shutil.which(program)
    if found is not None:
        return found
    reason = f"{program} is missing: apt install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def add(line: Line, camera: Camera) -> None:
    """Have it recorded."""
    with closing(line.bus()) as bus:
        cameras.create(line.store(), bus, camera)


@pytest.fixture(scope="package")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The shipped line with one camera, looked at by a model, and a gateway."""
    needs_tools()
    if find_triton() is None:
        reason = "the page's boxes need Triton: make tools"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    line = Line(tmp_path_factory.mktemp("watching"), with_triton=True)
    copy_manifests(line, without=("sweep", "index", "inspect"))
    try:
        line.start()
        looked_at: dict[str, tuple[Work, ...]] = {"detect": (Work(model="squares", fps=5),)}
        add(line, Camera(name=CAMERA, source=SOURCE, functions=looked_at))
        eventually("a live playlist", lambda: any(True for _ in line.store().list(f"hls/{CAMERA}/index")))
        yield line
    finally:
        line.stop()


@pytest.fixture(scope="module")
def link(watching: Line) -> Callable[[str], str]:
    """Gives the address of something behind the gateway, with a viewer's token."""
    secret, _ = tokens.create(watching.store())
    return lambda path: f"{watching.runtime()['endpoints']['services']['gateway']}/t/{secret}/{path}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's, headless."""
    program = needed("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
