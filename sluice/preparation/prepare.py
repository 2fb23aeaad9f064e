"""Store and NATS made ready for Sluice: compared first, shown next, changed last; a second time changes nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sluice.bus import NatsBus
from sluice.preparation.access import ADMIN
from sluice.preparation.change import Change
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, Secrets
from sluice.settings import BusSettings
from sluice.topology import BUCKETS, CONSUMERS, STREAMS

if TYPE_CHECKING:
    from sluice.preparation.administration import Administration


def prepare(
    *,
    store_url: str,
    region: str,
    bucket: str,
    nats_url: str,
    secrets: Secrets,
    dry_run: bool = False,
    show: Callable[[str], object] = print,
) -> tuple[str, ...]:
    """Make what is missing and mend what differs; returns what was changed, or with *dry_run* what would be.

    NATS comes first: what the bucket announces while its stream is missing is lost on the fast lane.
    """
    done = _prepare_nats(nats_url, secrets, dry_run=dry_run, show=show)
    user, password = secrets.store_root
    # Imported here: nothing else of the command line waits for minio and urllib3.
    from sluice.preparation.administration import Administration

    store = Administration(url=store_url, region=region, user=user, password=password)
    try:
        changes = _store_changes(store, region=region, bucket=bucket, nats_url=nats_url, secrets=secrets)
        for change in changes:
            show(change.sentence)
        for change in () if dry_run else changes:
            change.make()
    finally:
        store.close()
    return (*done, *(change.sentence for change in changes))


def _prepare_nats(url: str, secrets: Secrets, *, dry_run: bool, show: Callable[[str], object]) -> tuple[str, ...]:
    admin = secrets.part(ADMIN)
    bus = NatsBus(BusSettings(url=url, user=admin[NATS_USER], password=admin[NATS_PASSWORD]), name="sluice init")
    try:
        changes = bus.differences(STREAMS, CONSUMERS, BUCKETS)
        for sentence in changes:
            show(sentence)
        if changes and not dry_run:
            bus.ensure(STREAMS, CONSUMERS, BUCKETS)
        return changes
    finally:
        bus.close()


def _store_changes(
    store: "Administration", *, region: str, bucket: str, nats_url: str, secrets: Secrets
) -> list[Change]:
    from sluice.preparation import announcements, users

    exists = store.has_bucket(bucket)
    changes = [] if exists else [Change(sentence=f"bucket {bucket}: missing", make=lambda: store.make_bucket(bucket))]
    changes += users.user_changes(store, bucket=bucket, exists=exists, secrets=secrets)
    address = urlsplit(nats_url).netloc.rpartition("@")[2]
    settings = announcements.needed(region=region, nats_address=address, user=secrets.part("minio")[NATS_USER])
    changes += announcements.rule_changes(store, bucket=bucket, exists=exists, region=region, settings=settings)
    return changes
