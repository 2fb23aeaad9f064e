"""Players of others, headless: what each says against what it plays."""

import json
import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sluice.local.install_page import page_home
from tests.browser.conftest import needed
from tests.playlists import AGAIN

FFPROBE_VIDEO = ("-select_streams", "v", "-show_entries", "frame=pts_time", "-of", "csv=p=0")
QUIT_S = 10


def run(command: Sequence[str | Path], *, within_s: float = 60) -> str:
    """What it prints on both of its outputs; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def news(said: str) -> list[str]:
    """What is no news of a live playlist left out: FFmpeg's word on each refresh, and how often it came."""
    lines = [line for line in said.splitlines() if line.strip()]
    return [line for line in lines if AGAIN not in line and "Last message repeated" not in line]


def ffprobe(url: str, *, frames: int | None = None) -> tuple[int, str]:
    """The number of pictures that it decodes, and its warnings."""
    some = ("-read_intervals", f"%+#{frames}") if frames else ()
    command = [needed("ffprobe", "ffmpeg"), "-v", "warning", *some, *FFPROBE_VIDEO, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return len(done.stdout.split()), done.stderr


def mpv(url: str, *, frames: int) -> str:
    """Its warnings and errors while it decodes so many pictures."""
    quiet = ("--no-config", "--no-terminal", "--msg-level=all=warn", "--vo=null", "--ao=null")
    return run([needed("mpv", "mpv"), *quiet, "--untimed", f"--frames={frames}", url])


def mpv_pictures(url: str) -> int:
    """How many it decodes: it writes a line of each."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "pictures")
        written = (f"--o={lines}", "--of=framecrc", "--ovc=rawvideo", "--no-audio")
        run([needed("mpv", "mpv"), "--no-config", "--no-terminal", *written, url])
        return sum(not line.startswith("#") for line in lines.read_text().splitlines())


def vlc(url: str, *, seconds: float) -> tuple[bool, list[str]]:
    """True if a picture came, and its errors, while an unprivileged user plays it for so long; it refuses root."""
    program = needed("vlc", "vlc-bin vlc-plugin-base")
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    quiet = ("-I", "dummy", "-vv", "--no-color", "--no-dbus", "--no-video-title-show", "--vout=dummy", "--aout=dummy")
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile("w+") as said:
        if nobody:
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
        process = subprocess.Popen(
            [program, *quiet, url],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env={"HOME": home, "PATH": os.environ["PATH"]},
            user=nobody.pw_uid if nobody else None,
            group=nobody.pw_gid if nobody else None,
            cwd=home,
        )
        try:
            time.sleep(seconds)
        finally:
            process.terminate()
            process.wait(QUIT_S)
        said.seek(0)
        lines = said.read().splitlines()
    # Interfaces are a window's keys and the like: there is no desktop here.
    errors = [line for line in lines if " error: " in line and "interface" not in line]
    return any("Received first picture" in line for line in lines), errors


def strict(playlists: Sequence[str]) -> list[str]:
    """What npm's hls-parser, strict, says against each; empty strings are good."""
    parser = page_home()
    if not (parser / "node_modules").is_dir():
        needed("hls-parser of npm", "npm && make page")
    command: list[str | Path] = [needed("node", "nodejs"), Path(__file__).with_name("strict.cjs"), parser]
    given = "".join(f"{json.dumps(text)}\n" for text in playlists)
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=True)
    said: list[str] = done.stdout.split("\n")
    return said[: len(playlists)]
