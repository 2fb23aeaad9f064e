"""A real MinIO server for tests, as the local runtime starts it."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sluice.local import program
from sluice.local.minio import NatsTarget, minio_program
from sluice.local.tools import INSTALL, Missing, find_minio
from sluice.settings import StoreSettings
from tests.services.server import RunningServer, needed


class MinioServer(RunningServer):
    """One server on a loopback port of its own; it keeps its port and its data when it is started again."""

    root_user = "tests-root"
    root_password = "only-for-tests"
    region = "lab-1"

    def __init__(
        self, binary: Path, folder: Path, *, notify: Sequence[NatsTarget] = (), certificates: Path | None = None
    ) -> None:
        port = program.free_port()
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{port}"
        self._numbers = itertools.count(1)
        self._program = minio_program(
            binary=binary,
            data=folder / "data",
            port=port,
            log=folder / "minio.log",
            root_user=self.root_user,
            root_password=self.root_password,
            region=self.region,
            queue_dir=folder / "queue",
            notify=notify,
            certificates=certificates,
        )

    @property
    def pid(self) -> int | None:
        """The running process."""
        return self._process.pid if self._process else None

    def settings(self, bucket: str, *, timeout_s: float = 10.0, user: tuple[str, str] | None = None) -> StoreSettings:
        """How *user*, or root, reaches *bucket*."""
        access_key, secret_key = user or (self.root_user, self.root_password)
        return StoreSettings(
            url=self.url,
            region=self.region,
            bucket=bucket,
            access_key=access_key,
            secret_key=secret_key,
            timeout_s=timeout_s,
        )

    def new_bucket(self) -> str:
        """Make an empty bucket with a name of its own."""
        from minio import Minio

        name = f"bucket-{next(self._numbers)}"
        scheme, _, host = self.url.partition("://")
        root = Minio(host, self.root_user, self.root_password, secure=scheme == "https", region=self.region)
        root.make_bucket(name)
        return name


@pytest.fixture(scope="session")
def minio_binary() -> Path:
    """The server's program; skips the test without one, or fails it in CI."""
    return needed(find_minio(), str(Missing(name="minio", remedy=INSTALL)))


@pytest.fixture(scope="session")
def minio_server(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One server for all tests of a run, which therefore use buckets of their own, and leave it running."""
    server = MinioServer(minio_binary, tmp_path_factory.mktemp("minio"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bucket(minio_server: MinioServer) -> str:
    """The name of an empty bucket."""
    return minio_server.new_bucket()


@pytest.fixture
def store_settings(minio_server: MinioServer, bucket: str) -> StoreSettings:
    """How root reaches the empty bucket."""
    return minio_server.settings(bucket)
