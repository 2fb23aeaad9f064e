"""`sluice init`: store and NATS are made ready; run again, it changes nothing."""

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "init",
        help="prepare store and NATS: bucket, users, rights, announcements, streams",
        description="Prepares the store and the NATS server that SLUICE_S3_URL and SLUICE_NATS_URL name, as their "
        "administrator (SLUICE_S3_ACCESS_KEY, SLUICE_S3_SECRET_KEY, SLUICE_NATS_USER, SLUICE_NATS_PASSWORD). "
        "Shows every difference before changing it.",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what differs, change nothing")
    parser.add_argument(
        "--secrets",
        type=Path,
        default=Path(".sluice/secrets"),
        metavar="DIR",
        help="the parts' users and passwords; made when missing (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare; 0 when all is as wanted now."""
    from sluice.preparation.prepare import prepare
    from sluice.preparation.secrets import load_or_create
    from sluice.settings import BusSettings, StoreSettings, load_all

    store, bus = load_all(StoreSettings, BusSettings)
    secrets = load_or_create(arguments.secrets).administered_by(
        store=(store.access_key, store.secret_key), nats=(bus.user, bus.password)
    )
    changes = prepare(
        store_url=store.url,
        region=store.region,
        bucket=store.bucket,
        nats_url=bus.url,
        secrets=secrets,
        dry_run=arguments.dry_run,
    )
    print(_summary(len(changes), dry_run=arguments.dry_run))
    return 0


def _summary(changes: int, *, dry_run: bool) -> str:
    if not changes:
        return "everything is as it should be"
    return f"{changes} differences, nothing changed" if dry_run else f"{changes} differences mended"
