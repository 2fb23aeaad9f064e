"""What every ObjectStore keeps: the same tests for the fake and for S3Store on a real server."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from sluice.errors import ConflictError, InvalidNameError, ObjectNotFoundError, UnavailableError, UnusableInputError
from sluice.store import ObjectStore, S3Store
from sluice.testing.store import MemoryStore
from tests.services.minio import MinioServer

T = TypeVar("T")
THREADS = 8
MANY = 1005
"""More than fit a page of a listing, or a batch of a deletion."""
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Subject:
    """An empty store, and how to take it down and up again."""

    store: ObjectStore
    stop: Callable[[], None]
    start: Callable[[], None]


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.s3)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """One of the stores."""
    if request.param == "memory":
        memory = MemoryStore()
        yield Subject(memory, lambda: setattr(memory, "down", True), lambda: setattr(memory, "down", False))
        return
    server: MinioServer = request.getfixturevalue("minio_server")
    real = S3Store(server.settings(server.new_bucket(), timeout_s=TIMEOUT_S))
    yield Subject(real, server.stop, server.start)
    server.start()
    real.close()


@pytest.fixture
def store(subject: Subject) -> ObjectStore:
    """The store alone."""
    return subject.store


@pytest.fixture
def many(store: ObjectStore) -> list[str]:
    """The keys of more objects than a page shows, in order."""
    keys = [f"many/{number:05d}" for number in range(MANY)]
    at_once(lambda number: store.put(keys[number], b"x"), range(MANY))
    return keys


def at_once(work: Callable[[int], T], numbers: range) -> list[T]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(work, numbers))


def keys_of(store: ObjectStore, prefix: str, *, after: str = "") -> list[str]:
    return [each.key for each in store.list(prefix, after=after)]


def outcome(write: Callable[..., object], *given: object, **named: object) -> str:
    try:
        write(*given, **named)
    except ConflictError:
        return "lost"
    return "won"


class TestObjectStore:
    """One contract, every store."""

    def test_an_object_comes_back_as_it_was_put(self, store: ObjectStore) -> None:
        """Body, etag and metadata are those of the put."""
        etag = store.put("chunks/a.mp4", b"\x00body\xff", metadata={"codec": "avc1.64001f", "open-gop": "a  b=c"})

        found = store.get("chunks/a.mp4")

        assert found.key == "chunks/a.mp4"
        assert found.body == b"\x00body\xff"
        assert found.etag == etag
        assert '"' not in etag
        assert found.metadata == {"codec": "avc1.64001f", "open-gop": "a  b=c"}

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        """Zero bytes are a body."""
        store.put("empty", b"")

        assert store.get("empty").body == b""

    def test_a_put_replaces_body_and_metadata(self, store: ObjectStore) -> None:
        """Nothing of the former object is left."""
        store.put("key", b"old", metadata={"age": "1"})

        store.put("key", b"new")

        assert store.get("key").body == b"new"
        assert store.get("key").metadata == {}

    def test_an_object_says_what_it_is_and_how_long_it_keeps(self, store: ObjectStore) -> None:
        """As its last writer said: a replacement says it anew."""
        seen = store.create("list", b"1", content_type="text/a", cache_control="max-age=1")
        first = store.get("list")
        store.replace("list", b"2", etag=seen, content_type="text/b")
        second = store.get("list")
        store.put("list", b"3", content_type="text/c")

        assert (first.content_type, first.cache_control) == ("text/a", "max-age=1")
        assert (second.content_type, second.cache_control) == ("text/b", "")
        assert store.get("list").content_type == "text/c"

    @pytest.mark.parametrize(
        "metadata",
        [
            pytest.param({"place": "Zürich"}, id="not-ascii"),
            pytest.param({"place": "a\r\nx-amz-acl: public-read"}, id="line-break"),
            pytest.param({"place": " padded"}, id="padded"),
            pytest.param({"place": ""}, id="empty"),
            pytest.param({"Place": "here"}, id="upper-case-name"),
            pytest.param({"place": "x" * 2048}, id="too-long"),
        ],
    )
    def test_metadata_that_headers_would_change_is_refused(self, store: ObjectStore, metadata: dict[str, str]) -> None:
        """What is put is what is read, or nothing is put."""
        with pytest.raises(ValueError, match="metadata"):
            store.put("key", b"", metadata=metadata)

        assert keys_of(store, "") == []

    def test_an_absent_object_is_named(self, store: ObjectStore) -> None:
        """The error carries the key."""
        with pytest.raises(ObjectNotFoundError) as error:
            store.get("chunks/none.mp4")

        assert error.value.key == "chunks/none.mp4"

    @pytest.mark.parametrize(
        ("first", "last", "expected"),
        [(0, 0, b"0"), (2, 4, b"234"), (7, None, b"789"), (8, 99, b"89"), (0, None, b"0123456789")],
    )
    def test_a_range_has_both_its_ends(self, store: ObjectStore, first: int, last: int | None, expected: bytes) -> None:
        """first..last is inclusive, and stops at the end of the object."""
        store.put("digits", b"0123456789")

        assert store.get("digits", first=first, last=last).body == expected

    @pytest.mark.parametrize(("body", "first"), [(b"0123456789", 10), (b"", 0), (b"", 1)])
    def test_a_range_past_the_end_is_unusable(self, store: ObjectStore, body: bytes, first: int) -> None:
        """An object that ends too early will not grow."""
        store.put("short", body)

        with pytest.raises(UnusableInputError, match="short"):
            store.get("short", first=first, last=first + 9)

    @pytest.mark.parametrize(("first", "last"), [(-1, None), (3, 2)])
    def test_a_reversed_range_is_a_bug(self, store: ObjectStore, first: int, last: int | None) -> None:
        """S3 would answer it with the whole object."""
        store.put("digits", b"0123456789")

        with pytest.raises(ValueError, match="first <= last"):
            store.get("digits", first=first, last=last)

    def test_an_object_over_the_limit_is_not_read(self, store: ObjectStore) -> None:
        """The limit is the largest size taken; with a range it is on the bytes asked for."""
        store.put("digits", b"0123456789")

        with pytest.raises(UnusableInputError, match="at most 9 bytes, found 10 bytes"):
            store.get("digits", limit=9)

        assert store.get("digits", limit=10).body == b"0123456789"
        assert store.get("digits", first=5, limit=5).body == b"56789"

    def test_only_the_first_create_wins(self, store: ObjectStore) -> None:
        """The loser changes nothing."""
        etag = store.create("key", b"first")

        with pytest.raises(ConflictError, match="key"):
            store.create("key", b"second")

        assert store.get("key").body == b"first"
        assert store.get("key").etag == etag

    def test_a_replace_needs_the_etag_of_what_is_there(self, store: ObjectStore) -> None:
        """Each state can be replaced once."""
        seen = store.create("key", b"1")
        newer = store.replace("key", b"2", etag=seen)

        with pytest.raises(ConflictError, match=seen):
            store.replace("key", b"3", etag=seen)

        assert store.get("key").body == b"2"
        assert store.get("key").etag == newer

    def test_what_is_gone_cannot_be_replaced(self, store: ObjectStore) -> None:
        """A deleted state is a changed one."""
        seen = store.put("key", b"1")
        store.delete(["key"])

        with pytest.raises(ConflictError, match="key"):
            store.replace("key", b"2", etag=seen)

        assert keys_of(store, "") == []

    def test_a_large_object_that_lost_is_told_so(self, store: ObjectStore) -> None:
        """A server that refuses before it has read the body is still understood."""
        seen = store.put("key", b"1")
        body = bytes(8 << 20)

        with pytest.raises(ConflictError):
            store.create("key", body)
        with pytest.raises(ConflictError):
            store.replace("key", body, etag="0" * 32)

        assert store.get("key").etag == seen

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        """Also when all try at once."""
        outcomes = at_once(lambda number: outcome(store.create, "key", str(number).encode()), range(THREADS))

        assert sorted(outcomes) == ["lost"] * (THREADS - 1) + ["won"]
        assert store.get("key").body == str(outcomes.index("won")).encode()

    def test_nothing_appended_by_compare_and_swap_is_lost(self, store: ObjectStore) -> None:
        """Eight writers that start again on a conflict leave what each of them wrote, once."""
        store.create("list", b"[]")

        def append(number: int) -> None:
            while True:
                seen = store.get("list")
                grown = json.dumps([*json.loads(seen.body), number]).encode()
                if outcome(store.replace, "list", grown, etag=seen.etag) == "won":
                    return

        at_once(append, range(THREADS * 5))

        assert sorted(json.loads(store.get("list").body)) == [*range(THREADS * 5)]

    def test_a_listing_is_in_order_of_keys(self, store: ObjectStore) -> None:
        """The order is that of the bytes, also where folders end."""
        keys = ["p/a-b", "p/a/b", "p/a0", "p/B", "p/é", "p/🎥", "q/a"]
        for key in reversed(keys):
            store.put(key, b"")

        assert keys_of(store, "p/") == ["p/B", "p/a-b", "p/a/b", "p/a0", "p/é", "p/🎥"]
        assert keys_of(store, "p/a") == ["p/a-b", "p/a/b", "p/a0"]
        assert keys_of(store, "") == ["p/B", "p/a-b", "p/a/b", "p/a0", "p/é", "p/🎥", "q/a"]
        assert keys_of(store, "r/") == []

    def test_folders_are_what_slashes_in_keys_make(self, store: ObjectStore) -> None:
        """In order of keys, each once, however much is in them; an object beside them is none."""
        for key in ("f/a/1", "f/a/b/2", "f/a-b/3", "f/a0/4", "f/b", "g/c/5"):
            store.put(key, b"")

        assert list(store.folders("f/")) == ["f/a-b/", "f/a/", "f/a0/"]
        assert list(store.folders("f/a/")) == ["f/a/b/"]
        assert list(store.folders("h/")) == []

    def test_a_listing_shows_size_etag_and_time(self, store: ObjectStore) -> None:
        """What it shows is what a reader of the object would see."""
        etag = store.put("key", b"12345")

        (found,) = store.list("key")

        assert (found.key, found.size_bytes, found.etag) == ("key", 5, etag)
        assert abs(datetime.now(UTC) - found.modified) < timedelta(seconds=30)

    @pytest.mark.parametrize(
        ("after", "expected"),
        [
            ("c/2", ["c/3"]),
            ("c/2x", ["c/3"]),
            ("c/3", []),
            ("c/", ["c/1", "c/2", "c/3"]),
            ("b", ["c/1", "c/2", "c/3"]),
            ("c", ["c/1", "c/2", "c/3"]),
            ("d", []),
        ],
    )
    def test_a_listing_begins_after_any_key(self, store: ObjectStore, after: str, expected: list[str]) -> None:
        """*after* need neither exist nor lie under the prefix."""
        for key in ("a", "c/1", "c/2", "c/3", "d"):
            store.put(key, b"")

        assert keys_of(store, "c/", after=after) == expected

    def test_a_listing_goes_on_over_its_pages(self, store: ObjectStore, many: list[str]) -> None:
        """No page's end is the end, and no key comes twice."""
        assert keys_of(store, "many/") == many
        assert keys_of(store, "many/", after=many[2]) == many[3:]

    def test_many_objects_are_deleted_at_once(self, store: ObjectStore, many: list[str]) -> None:
        """Absent ones are no error, and others stay."""
        store.delete(["absent", *many[1:], "absent/too"])

        assert keys_of(store, "") == many[:1]

    def test_deleting_nothing_is_nothing(self, store: ObjectStore) -> None:
        """An empty list is a list."""
        store.put("key", b"")

        store.delete([])

        assert keys_of(store, "") == ["key"]

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("sp ace/a  b", id="spaces"),
            pytest.param("plus+and%2B", id="plus-and-percent"),
            pytest.param("ünï/日本/🎥", id="unicode"),
            pytest.param("<&>\"';#?=~*()![]{}|^`$,@:", id="punctuation"),
            pytest.param("a..b/...c/.d", id="dots-in-names"),
        ],
    )
    def test_odd_keys_are_keys(self, store: ObjectStore, key: str) -> None:
        """Every call means the same object by them."""
        etag = store.create(key, b"1")
        store.replace(key, b"2", etag=etag)

        assert store.get(key).body == b"2"
        assert keys_of(store, key[:2]) == [key]
        assert keys_of(store, "", after=key) == []

        store.delete([key])

        assert keys_of(store, "") == []

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "a/../b", "./a", "a/.", "a\nb", "a\x00", "\ud800", "x" * 1025]
    )
    def test_keys_that_change_on_their_way_are_refused(self, store: ObjectStore, key: str) -> None:
        """A key names one object or none, never another."""
        for call in (
            store.get,
            lambda k: store.put(k, b""),
            lambda k: store.create(k, b""),
            lambda k: store.delete([k]),
        ):
            with pytest.raises(InvalidNameError):
                call(key)

        assert keys_of(store, "") == []

    def test_a_store_that_is_down_is_unavailable_and_comes_back(self, subject: Subject) -> None:
        """Every call says so in time, and the same object works again when the store does."""
        store, seen = subject.store, subject.store.put("key", b"1")
        calls: list[Callable[[], object]] = [
            lambda: store.get("key"),
            lambda: store.put("key", b"2"),
            lambda: store.create("new", b""),
            lambda: store.replace("key", b"2", etag=seen),
            lambda: keys_of(store, ""),
            lambda: store.delete(["key"]),
        ]

        subject.stop()

        for call in calls:
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="store is unavailable"):
                call()
            assert time.monotonic() - began < TIMEOUT_S

        subject.start()

        assert store.get("key").body == b"1"
        assert store.replace("key", b"2", etag=seen) != seen
