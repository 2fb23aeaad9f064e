"""`make screenshot`: docs/watch.jpg, the watch page of a camera with faces, as the line shows it."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from sluice import tokens
from sluice.contracts.camera import Camera, Work
from sluice.local.tools import find_data
from tests.browser.conftest import FLAGS, add, needed
from tests.browser.watched import opened
from tests.services.line import ROOT, Line, copy_manifests, eventually

CLIP = "carphone_pristine.mp4"
CAMERA = "carphone"
PICTURE = ROOT / "docs" / "watch.jpg"
QUALITY = 70


def main() -> int:
    """Start a line, look, take the picture."""
    clip, program = find_data(CLIP), needed("chromium", "chromium")
    if clip is None:
        sys.exit(f"{CLIP} is missing: make tools")
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder, sync_playwright() as playwright:
        line = Line(Path(folder), with_triton=True)
        copy_manifests(line, without=("sweep", "index"))
        try:
            line.start()
            work: dict[str, tuple[Work, ...]] = {"detect": (Work(model="faces", fps=5),)}
            camera = Camera(name=CAMERA, source=f"file:{clip}?loop=1", functions=work)
            add(line, camera)
            secret, _ = tokens.create(line.store())
            eventually("chunks", lambda: len(list(line.store().list(f"chunks/{CAMERA}/"))) >= 4)
            browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
            root = f"{line.runtime()['endpoints']['services']['gateway']}/t/{secret}"
            page = opened(browser, f"{root}/watch/{CAMERA}", width=640, height=720)
            page.plays()
            page.until("a face", lambda: "face" in page.text("seen"), within_s=60)
            page.until("it is live", lambda: page.text("state") == "live")
            page.page.screenshot(path=PICTURE, type="jpeg", quality=QUALITY)
            browser.close()
        finally:
            line.stop()
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
