"""What every Bus keeps of buckets: the same tests for the fake and for NatsBus on a real server."""

import time
from collections.abc import Iterator

import pytest

from sluice.errors import ConflictError, InvalidNameError, UnavailableError
from sluice.keyvalue import KeyValueEntry
from sluice.topology import Bucket
from tests.contract.scene import SOON_S, Scene


class TestKeyValue:
    """A bucket is changed by compare-and-swap."""

    def test_what_was_put_is_got(self, scene: Scene) -> None:
        """With the revision that the writer was told."""
        bucket = scene.bus.bucket(scene.bucket.name)
        bucket.put("gate", b"one")

        revision = bucket.put("gate", b"two")

        assert bucket.get("gate") == KeyValueEntry(key="gate", value=b"two", revision=revision)

    def test_an_absent_key_is_none(self, scene: Scene) -> None:
        """Never there, or deleted."""
        bucket = scene.bus.bucket(scene.bucket.name)
        bucket.put("gone", b"x")
        bucket.delete("gone")

        assert bucket.get("gone") is None
        assert bucket.get("never") is None

    def test_a_key_is_created_once(self, scene: Scene) -> None:
        """The second creator loses; after a deletion it may be created again."""
        bucket = scene.bus.bucket(scene.bucket.name)
        bucket.create("gate", b"one")

        with pytest.raises(ConflictError):
            bucket.create("gate", b"two")
        bucket.delete("gate")

        assert bucket.create("gate", b"three") == 3

    def test_an_update_needs_the_newest_revision(self, scene: Scene) -> None:
        """Whoever saw an older one loses, and the winner's value stays."""
        bucket = scene.bus.bucket(scene.bucket.name)
        old = bucket.put("gate", b"one")
        new = bucket.update("gate", b"two", revision=old)

        with pytest.raises(ConflictError):
            bucket.update("gate", b"three", revision=old)

        assert bucket.get("gate") == KeyValueEntry(key="gate", value=b"two", revision=new)

    def test_a_bad_key_is_refused(self, scene: Scene) -> None:
        """A bucket's keys are tokens."""
        with pytest.raises(InvalidNameError):
            scene.bus.bucket(scene.bucket.name).put("a b", b"x")

    def test_a_missing_bucket_is_unavailable(self, scene: Scene) -> None:
        """It is not an empty one."""
        bucket = scene.bus.bucket("never-made")

        with pytest.raises(UnavailableError):
            bucket.get("gate")
        with pytest.raises(UnavailableError):
            bucket.put("gate", b"x")

    def test_a_watcher_is_told_what_is_there_and_then_each_change(self, scene: Scene) -> None:
        """A key deleted before is no entry; one deleted later is a change; None means nothing new."""
        bucket = scene.bus.bucket(scene.bucket.name)
        bucket.put("old", b"x")
        bucket.delete("old")
        bucket.put("gate", b"one")
        bucket.put("yard", b"two")

        changes = bucket.watch(idle_s=0.3)

        assert [_told(next(changes)) for _ in range(3)] == [("gate", b"one"), ("yard", b"two"), None]
        bucket.put("gate", b"three")
        assert _told(_next_change(changes)) == ("gate", b"three")
        bucket.delete("yard")
        assert _told(_next_change(changes)) == ("yard", None)
        assert next(changes) is None

    def test_watching_a_missing_bucket_is_idle_until_it_is_made(self, scene: Scene) -> None:
        """When the copy vanishes everyone goes on with what they have."""
        later = Bucket(name=f"{scene.bucket.name}-later", about="made later")
        changes = scene.bus.bucket(later.name).watch(idle_s=0.2)

        assert next(changes) is None
        scene.bus.ensure([], [], [later])
        scene.bus.bucket(later.name).put("gate", b"one")

        assert _told(_next_change(changes)) == ("gate", b"one")


def _told(entry: KeyValueEntry | None) -> tuple[str, bytes | None] | None:
    return (entry.key, entry.value) if entry else None


def _next_change(changes: Iterator[KeyValueEntry | None]) -> KeyValueEntry:
    deadline = time.monotonic() + SOON_S
    while (entry := next(changes)) is None:
        assert time.monotonic() < deadline
    return entry
