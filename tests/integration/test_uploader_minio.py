"""Spool and uploader against a real store, with the segmenter's own rights, killed and started again."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from segmenter.cut import Cut
from segmenter.numbering import checkpoint, start_session
from segmenter.spool import Spool
from segmenter.uploader import Uploader
from sluice.names import CHUNKS, parse_chunk_key, state_key
from sluice.preparation.access import SEGMENTER
from sluice.store import S3Store
from tests.contract.test_s3_store import new_user
from tests.services.minio import MinioServer

pytestmark = pytest.mark.s3

CAMERA = "gate"
START_MS = 1_790_000_000_000
DEADLINE_S = 60


def a_cut(number: int, *, run: str) -> Cut:
    return Cut(
        body=f"ftypmoov{run} {number}".encode(),
        init_bytes=8,
        run=run,
        start_ms=START_MS + number * 3000,
        duration_ms=3000,
        activity="active",
        metadata={"camera": CAMERA, "codec": "avc1.64001f"},
    )


@pytest.fixture
def store(minio_server: MinioServer, bucket: str) -> Iterator[S3Store]:
    """As the segmenter, with no more rights than it has in an installation."""
    user = new_user(minio_server, bucket, SEGMENTER.policy(bucket)["Statement"])
    opened = S3Store(minio_server.settings(bucket, user=user, timeout_s=5.0))
    yield opened
    opened.close()


def drain(uploader: Uploader, spool: Spool) -> None:
    """Step as its owner does, until the spool is empty."""
    deadline = time.monotonic() + DEADLINE_S
    while len(spool) and time.monotonic() < deadline:
        time.sleep(uploader.step() or 0.0)
    assert len(spool) == 0


def test_chunks_arrive_across_deaths_of_store_and_segmenter(
    minio_server: MinioServer, store: S3Store, tmp_path: Path
) -> None:
    """Each once, in order of seq, session and time; what was spooled while the store was dead comes first."""
    first = Spool(tmp_path)
    uploader = Uploader(store, first, camera=CAMERA)
    for number in range(3):
        first.add(a_cut(number, run="first"))
    drain(uploader, first)

    minio_server.kill()
    try:
        for number in range(3, 6):
            first.add(a_cut(number, run="first"))
        assert uploader.step()
        first.close()
        second = Spool(tmp_path)
        second.add(a_cut(6, run="second"))
    finally:
        minio_server.start()
    drain(Uploader(store, second, camera=CAMERA), second)
    second.close()

    names = [parse_chunk_key(each.key) for each in store.list(f"{CHUNKS}{CAMERA}/")]
    assert [name.seq for name in names] == [*range(1, 8)]
    # The fourth had its name before the store died, and keeps it.
    assert [name.session for name in names] == [1, 1, 1, 1, 2, 2, 3]
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(names))


def test_numbering_needs_no_more_than_the_segmenters_rights(store: S3Store, bucket: str) -> None:
    """State made, changed and found again; and the newest chunk without any state."""
    name = a_cut(0, run="old").name(CAMERA, session=8, seq=80)
    store.put(name.key, b"")

    began = start_session(store, CAMERA)
    checkpoint(store, CAMERA, session=began.number, next_seq=90, floor_ms=name.end_ms)
    again = start_session(store, CAMERA)

    assert (began.number, began.next_seq, began.floor_ms) == (9, 81, name.end_ms)
    assert (again.number, again.next_seq) == (10, 90)
    assert store.get(state_key("segmenter", CAMERA)).body.startswith(b'{"session":10,')
