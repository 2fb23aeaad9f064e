"""`sluice init`: store and NATS are made ready; run again, it changes nothing."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sluice.preparation.secrets import Secrets

STATE: Final = Path(".sluice/secrets")
PAUSE_S: Final = 1.0


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "init",
        help="prepare store and NATS: bucket, users, rights, announcements, streams",
        description="Prepares the store and the NATS server that SLUICE_S3_URL and SLUICE_NATS_URL name, as their "
        "administrator (SLUICE_S3_ACCESS_KEY, SLUICE_S3_SECRET_KEY, SLUICE_NATS_USER, SLUICE_NATS_PASSWORD). "
        "Shows every difference before changing it. With --secrets, and neither of both named, it only makes the "
        "secrets, as the overlays of infra/knative take them.",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what differs, change nothing")
    parser.add_argument(
        "--secrets",
        type=Path,
        metavar="DIR",
        help=f"the parts' users and passwords; made when missing (default: {STATE})",
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="try again for so long while a server is away"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare; 0 when all is as wanted now."""
    from sluice.preparation.secrets import load_or_create
    from sluice.settings import any_set

    if arguments.secrets is not None and not any_set("SLUICE_S3_URL", "SLUICE_NATS_URL"):
        return _only_secrets(arguments.secrets)
    secrets = load_or_create(arguments.secrets or STATE)
    changes = _prepared(secrets, dry_run=arguments.dry_run, deadline=time.monotonic() + arguments.wait)
    print(_summary(len(changes), dry_run=arguments.dry_run))
    return 0


def _only_secrets(folder: Path) -> int:
    from sluice.preparation.secrets import load_or_create, write_authorization

    secrets = load_or_create(folder)
    write_authorization(folder, secrets)
    print(f"{folder}: secrets of {len(secrets.parts)} parts, and whom NATS lets in; keep them, and keep them private")
    print("SLUICE_S3_URL and SLUICE_NATS_URL name no servers, so none was prepared")
    return 0


def _prepared(secrets: "Secrets", *, dry_run: bool, deadline: float) -> tuple[str, ...]:
    from sluice.errors import UnavailableError
    from sluice.preparation.prepare import prepare
    from sluice.settings import BusSettings, StoreSettings, load_all

    store, bus = load_all(StoreSettings, BusSettings)
    administered = secrets.administered_by(store=(store.access_key, store.secret_key), nats=(bus.user, bus.password))
    while True:
        try:
            return prepare(
                store_url=store.url,
                region=store.region,
                bucket=store.bucket,
                nats_url=bus.url,
                secrets=administered,
                dry_run=dry_run,
            )
        except UnavailableError as error:
            if time.monotonic() > deadline:
                raise
            print(f"waiting: {error}", file=sys.stderr, flush=True)
        time.sleep(PAUSE_S)


def _summary(changes: int, *, dry_run: bool) -> str:
    if not changes:
        return "everything is as it should be"
    return f"{changes} differences, nothing changed" if dry_run else f"{changes} differences mended"
