"""A store and a NATS server of one test module, with the parts' users, the store announcing to NATS."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sluice.bus import NatsBus
from sluice.local.minio import NatsTarget
from sluice.preparation.prepare import prepare
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, S3_SECRET, S3_USER, Secrets, load_or_create
from sluice.settings import BusSettings
from sluice.store import S3Store
from tests.services.minio import MinioServer
from tests.services.nats import NatsServer, nats_binary

BUCKET = "sluice"


@dataclass(kw_only=True)
class PreparedServers:
    """Both servers; `prepare` is what `sluice init` does."""

    minio: MinioServer
    nats: NatsServer
    secrets: Secrets
    shown: list[str] = field(default_factory=list)

    def prepare(self, *, dry_run: bool = False) -> tuple[str, ...]:
        """Prepare both."""
        return prepare(
            store_url=self.minio.url,
            region=self.minio.region,
            bucket=BUCKET,
            nats_url=self.nats.url,
            secrets=self.secrets,
            dry_run=dry_run,
            show=self.shown.append,
        )

    def store(self, part: str) -> S3Store:
        """The bucket, as the user of *part*."""
        mine = self.secrets.part(part)
        return S3Store(self.minio.settings(BUCKET, user=(mine[S3_USER], mine[S3_SECRET])))

    def bus_settings(self, part: str, *, timeout_s: float = 5.0) -> BusSettings:
        """How *part* reaches NATS."""
        mine = self.secrets.part(part)
        return BusSettings(url=self.nats.url, user=mine[NATS_USER], password=mine[NATS_PASSWORD], timeout_s=timeout_s)

    @contextmanager
    def bus(self, part: str) -> Iterator[NatsBus]:
        """NATS, as the user of *part*."""
        bus = NatsBus(self.bus_settings(part))
        try:
            yield bus
        finally:
            bus.close()


@contextmanager
def servers(
    minio_binary: Path, folder: Path, *, lanes: Callable[[str, Secrets], list[NatsTarget]]
) -> Iterator[PreparedServers]:
    """Start both; *lanes* makes the store's notification targets of NATS' address and the secrets."""
    root = (MinioServer.root_user, MinioServer.root_password)
    admin = (NatsServer.admin_user, NatsServer.admin_password)
    secrets = load_or_create(folder / "secrets").administered_by(store=root, nats=admin)
    for name in ("nats", "minio"):
        (folder / name).mkdir()
    nats = NatsServer(nats_binary(), folder / "nats", users=[u for u in secrets.nats_users() if u.name != admin[0]])
    minio = MinioServer(minio_binary, folder / "minio", notify=lanes(urlsplit(nats.url).netloc, secrets))
    try:
        nats.start()
        minio.start()
        yield PreparedServers(minio=minio, nats=nats, secrets=secrets)
    finally:
        minio.stop()
        nats.stop()


def both_lanes(address: str, secrets: Secrets) -> list[NatsTarget]:
    """The fast and the sure one, as Sluice wants them."""
    return [
        a_lane(address, secrets, "FAST", "sluice.intake.fast"),
        a_lane(address, secrets, "SURE", "sluice.intake.sure"),
    ]


def a_lane(address: str, secrets: Secrets, name: str, subject: str) -> NatsTarget:
    """A target; SURE keeps a queue."""
    mine = secrets.part("minio")
    return NatsTarget(
        id=name,
        address=address,
        subject=subject,
        user=mine[NATS_USER],
        password=mine[NATS_PASSWORD],
        queue=name == "SURE",
    )
