"""The steps of the file system that decide what outlives a crash; errors are ours."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EIO, ENOSPC
from pathlib import Path
from typing import Final

from sluice.errors import UnavailableError, UnusableInputError

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


_OWNER: Final = "owner"


class DiskFullError(UnavailableError):
    """Raised when nothing fits until something is removed."""


class Disk:
    """Each step is durable by itself or says so."""

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Write a new file, on the disk when this returns; its name is not, until the folder is synced."""
        with translated("write", path), os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, path: Path, to: Path) -> None:
        """Give a file another name, at once; durable when the folder is synced."""
        with translated("rename", path):
            path.rename(to)

    def sync(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        with translated("sync", folder):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, path: Path) -> bytes:
        """The whole file; raises FileNotFoundError, and UnusableInputError where the disk has lost it."""
        with translated("read", path):
            try:
                return path.read_bytes()
            except OSError as error:
                if error.errno == EIO:  # no time mends a bad sector, and others wait behind this file
                    raise UnusableInputError("a file", "input/output error", path.name) from error
                raise

    def remove(self, path: Path) -> None:
        """Remove a file that may be gone; not durable: a crash may show it again."""
        with translated("remove", path):
            path.unlink(missing_ok=True)


@contextmanager
def translated(action: str, path: Path) -> Iterator[None]:
    """Raise what the file system raises as UnavailableError, but for a file that is not there."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = DiskFullError if error.errno in (ENOSPC, EDQUOT) else UnavailableError
        raise kind("spool", f"{action} {path.name}: {error.strerror}") from error


def owned(folder: Path) -> int:
    """A lock that dies with the process: two uploaders of one spool would give its chunks two names."""
    path = folder / _OWNER
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise UnavailableError("spool", f"another process removes {folder}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino != path.stat().st_ino:
            raise FileNotFoundError
    except OSError as error:
        os.close(descriptor)
        raise UnavailableError("spool", f"another process owns {folder}") from error
    return descriptor


def disowned(folder: Path) -> None:
    """Remove an empty folder whose owner this process is; anything else in it stays, and so does the folder."""
    with suppress(OSError):
        (folder / _OWNER).unlink()
        folder.rmdir()
