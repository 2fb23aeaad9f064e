"""Users and passwords of every part: made at random when first needed, kept in files of one part each.

A file holds NAME=value lines, as `kubectl create secret generic sluice-<part> --from-env-file` takes them.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sluice.errors import SettingsError
from sluice.local.nats import NatsUser, authorization
from sluice.preparation.access import ADMIN, PARTS

S3_USER: Final = "SLUICE_S3_ACCESS_KEY"
S3_SECRET: Final = "SLUICE_S3_SECRET_KEY"  # noqa: S105 (the name of a variable)
NATS_USER: Final = "SLUICE_NATS_USER"
NATS_PASSWORD: Final = "SLUICE_NATS_PASSWORD"  # noqa: S105 (the name of a variable)
WEBHOOK_TOKEN: Final = "SLUICE_WEBHOOK_TOKEN"  # noqa: S105 (the name of a variable)
SECRET_BYTES: Final = 24
"""MinIO takes secrets of 8 to 40 characters; this many bytes are 32."""
AUTHORIZATION: Final = "authorization.conf"
"""Whom NATS lets in, as its configuration includes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What each part needs to be let in, as its environment."""

    parts: Mapping[str, Mapping[str, str]] = field(repr=False)

    def part(self, name: str) -> dict[str, str]:
        """The environment variables of a part; raises SettingsError for an unknown one."""
        if name not in self.parts:
            raise SettingsError((f"no secrets for {name!r}: expected one of {', '.join(sorted(self.parts))}",))
        return dict(self.parts[name])

    @property
    def store_root(self) -> tuple[str, str]:
        """The store's administrator, and its secret."""
        admin = self.parts[ADMIN]
        return admin[S3_USER], admin[S3_SECRET]

    def administered_by(self, *, store: tuple[str, str], nats: tuple[str, str]) -> "Secrets":
        """The same, for servers whose administrators were named by somebody else."""
        admin = {S3_USER: store[0], S3_SECRET: store[1], NATS_USER: nats[0], NATS_PASSWORD: nats[1]}
        return Secrets(parts={**self.parts, ADMIN: admin})

    def nats_users(self) -> tuple[NatsUser, ...]:
        """Every user of the NATS server, with its rights."""
        return tuple(
            NatsUser(
                name=self.parts[part][NATS_USER],
                password=self.parts[part][NATS_PASSWORD],
                publish=rights.publish,
                subscribe=rights.subscribe,
            )
            for part, rights in PARTS.items()
        )


def load_or_create(folder: Path) -> Secrets:
    """The secrets in *folder*; what is missing there, all of it at first, is made and written for its owner alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Secrets(parts={part: _part(folder / f"{part}.env", part) for part in PARTS})
    except OSError as error:
        raise SettingsError((f"secrets in {folder}: {error.strerror}: {error.filename}",)) from error


def write_authorization(folder: Path, secrets: Secrets) -> Path:
    """Say in *folder* whom NATS lets in, for its owner alone; the file is left alone when it says so already."""
    path, text = folder / AUTHORIZATION, "\n".join(authorization(secrets.nats_users())) + "\n"
    try:
        if not path.exists() or path.read_text("utf-8") != text:
            path.unlink(missing_ok=True)
            _write_new(path, text)
    except OSError as error:
        raise SettingsError((f"secrets in {folder}: {error.strerror}: {error.filename}",)) from error
    return path


def _part(path: Path, part: str) -> dict[str, str]:
    if not path.exists():
        _write_new(path, "".join(f"{name}={value}\n" for name, value in _made(part).items()))
    return _read(path, _made(part))


def _made(part: str) -> dict[str, str]:
    made = {NATS_USER: part, NATS_PASSWORD: secrets.token_urlsafe(SECRET_BYTES)}
    if part == ADMIN or PARTS[part].uses_store:
        made |= {S3_USER: f"sluice-{part}", S3_SECRET: secrets.token_urlsafe(SECRET_BYTES)}
    if part == "bridge":
        made[WEBHOOK_TOKEN] = secrets.token_urlsafe(SECRET_BYTES)
    return made


def _read(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    lines = [line.partition("=") for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    found = {name.strip(): value.strip() for name, _, value in lines}
    missing = [name for name in wanted if not found.get(name)]
    if missing:
        raise SettingsError((f"{path}: expected {', '.join(missing)}; delete the file to have new ones made",))
    return found


def _write_new(path: Path, text: str) -> None:
    """Write it whole or not at all; when two do so at once, both use what the first wrote."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # made 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()
