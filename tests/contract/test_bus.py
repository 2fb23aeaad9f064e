"""What every Bus keeps: the same tests for the fake and for NatsBus on a real server."""

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from sluice.bus import Bus, Message, NatsBus, Subscription
from sluice.errors import ConflictError, InvalidNameError, UnavailableError, UnusableInputError
from sluice.keyvalue import KeyValueEntry
from sluice.testing.bus import MemoryBus
from sluice.topology import Bucket, Consumer, Stream

SOON_S = 10.0
ACK_WAIT_S = 0.5
MIB = 1 << 20


@dataclass(frozen=True)
class Scene:
    """A bus with a limits stream, a work queue and a bucket that no other test knows."""

    bus: Bus
    log: Stream
    queue: Stream
    log_reader: Consumer
    queue_reader: Consumer
    bucket: Bucket

    @classmethod
    def prepared(cls, bus: Bus) -> "Scene":
        """Made on *bus* under names of its own."""
        name = uuid.uuid4().hex[:12]
        log = Stream(
            name=f"{name}_LOG",
            subjects=(f"{name}.log.*",),
            about="a log",
            max_age_s=3600,
            max_bytes=8 * MIB,
            dedupe_s=60,
        )
        queue = replace(log, name=f"{name}_QUEUE", subjects=(f"{name}.queue.*",), about="a queue", work_queue=True)
        reader = Consumer(stream=log.name, name="reader", ack_wait_s=ACK_WAIT_S)
        scene = cls(bus, log, queue, reader, replace(reader, stream=queue.name), Bucket(name=name, about="entries"))
        scene.ensure()
        return scene

    def ensure(self) -> tuple[str, ...]:
        """Make or mend all of it."""
        return self.bus.ensure([self.log, self.queue], [self.log_reader, self.queue_reader], [self.bucket])

    def subject(self, stream: Stream, leaf: str = "a") -> str:
        """One of the stream's subjects."""
        return stream.subjects[0].replace("*", leaf)

    def put(self, stream: Stream, *texts: str) -> None:
        """Publish each text under itself as the id."""
        for text in texts:
            self.bus.publish(self.subject(stream), text.encode(), message_id=text)


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.nats)])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    bus: Bus
    bus = MemoryBus() if request.param == "memory" else NatsBus(request.getfixturevalue("nats_server").settings())
    yield Scene.prepared(bus)
    bus.close()


def texts(messages: list[Message]) -> list[str]:
    return [message.payload.decode() for message in messages]


def fetch_soon(subscription: Subscription, batch: int = 10) -> list[Message]:
    """The next messages, which must come."""
    found = subscription.fetch(batch, wait_s=SOON_S)
    assert found
    return found


class TestPublishing:
    """A stream takes a message once."""

    def test_the_first_message_has_number_one(self, scene: Scene) -> None:
        """The acknowledgement names the stream and the number in it."""
        done = scene.bus.publish(scene.subject(scene.log), b"x", message_id="one")

        assert (done.stream, done.seq, done.duplicate) == (scene.log.name, 1, False)

    def test_the_same_id_is_taken_once(self, scene: Scene) -> None:
        """A repeated publish is told so and leaves one message."""
        scene.put(scene.log, "one")
        again = scene.bus.publish(scene.subject(scene.log, "b"), b"other", message_id="one")
        scene.put(scene.log, "two")

        assert (again.seq, again.duplicate) == (1, True)
        assert texts(fetch_soon(scene.bus.subscribe(scene.log_reader))) == ["one", "two"]

    def test_an_id_is_known_for_a_time_only(self, scene: Scene) -> None:
        """After the duplicate window the same id is a new message."""
        brief = replace(scene.log, dedupe_s=0.2)
        scene.bus.ensure([brief], [], [])
        scene.put(brief, "one")

        deadline = time.monotonic() + SOON_S
        while scene.bus.publish(scene.subject(brief), b"one", message_id="one").duplicate:
            assert time.monotonic() < deadline

    def test_headers_and_subject_arrive_as_sent(self, scene: Scene) -> None:
        """Names of headers are case-sensitive, and the message id travels with them."""
        scene.bus.publish(scene.subject(scene.log, "gate"), b"\x00\xff", message_id="m", headers={"ce-Type": "a b"})

        (message,) = fetch_soon(scene.bus.subscribe(scene.log_reader))

        assert dict(message.headers) == {"ce-Type": "a b", "Nats-Msg-Id": "m"}
        assert (message.subject, message.payload) == (scene.subject(scene.log, "gate"), b"\x00\xff")
        assert (message.stream, message.stream_seq, message.deliveries) == (scene.log.name, 1, 1)

    def test_the_newest_id_of_a_subject_is_known(self, scene: Scene) -> None:
        """And of no other; reading it leaves the message where it is."""
        a, b = (scene.subject(scene.log, leaf) for leaf in "ab")
        assert scene.bus.newest_id(a, stream=scene.log.name) is None

        for subject, name in ((a, "one"), (a, "two"), (b, "three")):
            scene.bus.publish(subject, b"", message_id=name)

        assert scene.bus.newest_id(a, stream=scene.log.name) == "two"
        assert scene.bus.newest_id(b, stream=scene.log.name) == "three"
        assert len(fetch_soon(scene.bus.subscribe(scene.log_reader))) == 3

    def test_the_newest_id_in_a_missing_stream_is_unavailable(self, scene: Scene) -> None:
        """It is not that nothing was published."""
        with pytest.raises(UnavailableError):
            scene.bus.newest_id(scene.subject(scene.log), stream="NOWHERE")

    def test_without_a_stream_it_is_unavailable(self, scene: Scene) -> None:
        """Nobody stored it, so it must be tried again."""
        with pytest.raises(UnavailableError, match=r"no\.such\.stream: no response from stream"):
            scene.bus.publish("no.such.stream", b"x", message_id="x")

    @pytest.mark.parametrize(
        ("payload", "headers"),
        [pytest.param(b"x" * (MIB + 1), {}, id="payload"), pytest.param(b"x", {"h": "y" * MIB}, id="headers")],
    )
    def test_what_is_too_large_is_refused_for_good(self, scene: Scene, payload: bytes, headers: dict[str, str]) -> None:
        """Trying again cannot help; and the connection of the others lives on."""
        with pytest.raises(UnusableInputError, match="at most 1048576 bytes"):
            scene.bus.publish(scene.subject(scene.log), payload, message_id="x", headers=headers)

        assert scene.bus.publish(scene.subject(scene.log), b"small", message_id="y").seq == 1


class TestConsuming:
    """A consumer delivers until it is told that the work is done."""

    def test_messages_come_in_order(self, scene: Scene) -> None:
        """First published, first fetched, and never more than asked for."""
        scene.put(scene.log, *"abcde")
        subscription = scene.bus.subscribe(scene.log_reader)

        assert texts(subscription.fetch(3, wait_s=SOON_S)) == ["a", "b", "c"]
        assert texts(subscription.fetch(3, wait_s=SOON_S)) == ["d", "e"]

    def test_a_fetch_returns_what_is_there_without_waiting_for_more(self, scene: Scene) -> None:
        """A batch is an upper limit."""
        scene.put(scene.log, "a")
        begun = time.monotonic()

        assert texts(scene.bus.subscribe(scene.log_reader).fetch(50, wait_s=SOON_S)) == ["a"]
        assert time.monotonic() - begun < SOON_S / 2

    def test_a_waiting_fetch_ends_with_the_first_message(self, scene: Scene) -> None:
        """Nothing lies around until the wait is over."""
        subscription = scene.bus.subscribe(scene.log_reader)
        found: list[str] = []
        waiting = threading.Thread(target=lambda: found.extend(texts(subscription.fetch(50, wait_s=2 * SOON_S))))
        waiting.start()

        scene.put(scene.log, "a")
        waiting.join(SOON_S)

        assert found == ["a"]

    @pytest.mark.parametrize("batch", [1, 10])
    def test_an_empty_stream_gives_nothing(self, scene: Scene, batch: int) -> None:
        """Waiting in vain is no error."""
        assert scene.bus.subscribe(scene.log_reader).fetch(batch, wait_s=0.1) == []

    def test_an_acknowledged_message_is_not_delivered_again(self, scene: Scene) -> None:
        """Not by this subscription nor by another one of the consumer."""
        scene.put(scene.log, "a")
        (message,) = fetch_soon(scene.bus.subscribe(scene.log_reader))

        message.ack()

        assert scene.bus.subscribe(scene.log_reader).fetch(1, wait_s=3 * ACK_WAIT_S) == []

    def test_an_unacknowledged_message_comes_again(self, scene: Scene) -> None:
        """After ack_wait, counted."""
        scene.put(scene.log, "a")
        subscription = scene.bus.subscribe(scene.log_reader)
        fetch_soon(subscription)

        (again,) = fetch_soon(subscription)

        assert (texts([again]), again.deliveries) == (["a"], 2)

    def test_a_message_in_progress_is_left_alone(self, scene: Scene) -> None:
        """Each word of progress starts the wait anew."""
        scene.put(scene.log, "a")
        subscription = scene.bus.subscribe(scene.log_reader)
        (message,) = fetch_soon(subscription)

        for _ in range(8):
            assert subscription.fetch(1, wait_s=ACK_WAIT_S / 4) == []
            message.in_progress()
        message.ack()

    def test_a_refused_message_comes_again_at_once(self, scene: Scene) -> None:
        """Long before its ack_wait, and before what was never delivered if its number is lower."""
        patient = replace(scene.log_reader, name="patient", ack_wait_s=60)
        scene.bus.ensure([], [patient], [])
        scene.put(scene.log, "a")
        subscription = scene.bus.subscribe(patient)
        (message,) = fetch_soon(subscription)

        message.nak()

        assert texts(fetch_soon(subscription)) == ["a"]

    def test_a_refused_message_comes_again_after_its_delay(self, scene: Scene) -> None:
        """Others are delivered meanwhile."""
        patient = replace(scene.log_reader, name="patient", ack_wait_s=60)
        scene.bus.ensure([], [patient], [])
        scene.put(scene.log, "a", "b")
        subscription = scene.bus.subscribe(patient)
        (first,) = subscription.fetch(1, wait_s=SOON_S)
        begun = time.monotonic()

        first.nak(delay_s=0.6)

        assert texts(fetch_soon(subscription)) == ["b"]
        assert texts(fetch_soon(subscription)) == ["a"]
        assert time.monotonic() - begun >= 0.6

    def test_a_terminated_message_is_never_delivered_again(self, scene: Scene) -> None:
        """Poison is ended, and the next one comes."""
        scene.put(scene.queue, "poison", "good")
        subscription = scene.bus.subscribe(scene.queue_reader)
        (poison,) = subscription.fetch(1, wait_s=SOON_S)

        poison.term()

        assert texts(fetch_soon(subscription)) == ["good"]
        assert texts(fetch_soon(subscription)) == ["good"]

    def test_a_work_queue_forgets_what_was_acknowledged(self, scene: Scene) -> None:
        """It is gone from the stream, so a new consumer never sees it; a log keeps it."""
        for stream, reader in ((scene.queue, scene.queue_reader), (scene.log, scene.log_reader)):
            scene.put(stream, "a")
            fetch_soon(scene.bus.subscribe(reader))[0].ack()
        other = replace(scene.log_reader, name="other")
        scene.bus.ensure([], [other], [])

        assert scene.bus.subscribe(scene.queue_reader).fetch(1, wait_s=3 * ACK_WAIT_S) == []
        assert texts(fetch_soon(scene.bus.subscribe(other))) == ["a"]

    def test_two_subscriptions_share_the_work(self, scene: Scene) -> None:
        """Each message goes to one of them."""
        scene.put(scene.queue, *"abcdef")
        one, two = (scene.bus.subscribe(scene.queue_reader) for _ in range(2))

        shares = [texts(one.fetch(3, wait_s=SOON_S)), texts(two.fetch(3, wait_s=SOON_S))]

        assert shares == [["a", "b", "c"], ["d", "e", "f"]]

    def test_many_threads_share_one_subscription(self, scene: Scene) -> None:
        """Nothing is lost or doubled between them."""
        patient = replace(scene.log_reader, name="patient", ack_wait_s=60)
        scene.bus.ensure([], [patient], [])
        subscription = scene.bus.subscribe(patient)
        names = [f"{number:03d}" for number in range(200)]
        found: list[str] = []

        def work() -> None:
            while messages := subscription.fetch(7, wait_s=1):
                for message in messages:
                    message.ack()
                found.extend(texts(messages))

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        scene.put(scene.log, *names)
        for worker in workers:
            worker.join(SOON_S)

        assert sorted(found) == names

    def test_no_more_is_out_than_the_consumer_allows(self, scene: Scene) -> None:
        """max_ack_pending bounds what waits for its end."""
        narrow = replace(scene.log_reader, name="narrow", max_ack_pending=2, ack_wait_s=60)
        scene.bus.ensure([], [narrow], [])
        scene.put(scene.log, *"abc")
        subscription = scene.bus.subscribe(narrow)
        first, second = fetch_soon(subscription)

        assert subscription.fetch(10, wait_s=0.2) == []
        first.ack()

        assert texts(fetch_soon(subscription)) == ["c"]
        second.ack()

    def test_a_filter_leaves_other_subjects_alone(self, scene: Scene) -> None:
        """A consumer may take a part of a stream."""
        picky = replace(scene.log_reader, name="picky", filter_subject=scene.subject(scene.log, "b"))
        scene.bus.ensure([], [picky], [])
        scene.bus.publish(scene.subject(scene.log, "a"), b"a", message_id="a")
        scene.bus.publish(scene.subject(scene.log, "b"), b"b", message_id="b")

        assert texts(fetch_soon(scene.bus.subscribe(picky))) == ["b"]

    def test_a_consumer_may_take_several_subjects(self, scene: Scene) -> None:
        """And leaves the others alone; defined again it is the same."""
        picky = replace(
            scene.log_reader, name="picky", filter_subjects=tuple(scene.subject(scene.log, leaf) for leaf in "ca")
        )
        scene.bus.ensure([], [picky], [])
        for leaf in "abc":
            scene.bus.publish(scene.subject(scene.log, leaf), leaf.encode(), message_id=leaf)

        assert texts(fetch_soon(scene.bus.subscribe(picky))) == ["a", "c"]
        assert scene.bus.differences([], [picky], []) == ()

    def test_a_consumer_may_begin_at_a_time(self, scene: Scene) -> None:
        """What the stream took before is not delivered."""
        reader = scene.bus.subscribe(scene.log_reader)
        scene.put(scene.log, "early")
        fetch_soon(reader)[0].ack()
        scene.put(scene.log, "middle", "late")
        middle, _ = reader.fetch(2, wait_s=SOON_S)
        # A server's clock is finer than ours.
        since = middle.stored_at - timedelta(microseconds=1)
        newer = replace(scene.log_reader, name="newer", since=since)

        scene.bus.ensure([], [newer], [])

        assert texts(fetch_soon(scene.bus.subscribe(newer))) == ["middle", "late"]
        assert scene.bus.differences([], [newer], []) == ()

    def test_without_acks_a_fetched_message_is_done(self, scene: Scene) -> None:
        """It does not come again, and none waits for the end of another."""
        hasty = replace(scene.log_reader, name="hasty", acks=False)
        scene.bus.ensure([], [hasty], [])
        scene.put(scene.log, "a")
        subscription = scene.bus.subscribe(hasty)

        assert texts(fetch_soon(subscription)) == ["a"]
        assert subscription.fetch(1, wait_s=3 * ACK_WAIT_S) == []
        assert scene.bus.differences([], [hasty], []) == ()

    def test_a_forgotten_consumer_begins_anew(self, scene: Scene) -> None:
        """It is missing until it is made again, and then it has seen nothing."""
        scene.put(scene.log, "a")
        subscription = scene.bus.subscribe(scene.log_reader)
        fetch_soon(subscription)[0].ack()

        scene.bus.forget(scene.log_reader)
        scene.bus.forget(scene.log_reader)

        with pytest.raises(UnavailableError):
            subscription.fetch(1, wait_s=0.2)
        scene.ensure()
        assert texts(fetch_soon(subscription)) == ["a"]

    def test_a_missing_consumer_is_unavailable_until_it_is_made(self, scene: Scene) -> None:
        """The same subscription works as soon as it exists."""
        later = replace(scene.log_reader, name="later")
        subscription = scene.bus.subscribe(later)
        scene.put(scene.log, "a")

        with pytest.raises(UnavailableError):
            subscription.fetch(10, wait_s=0.2)
        scene.bus.ensure([], [later], [])

        assert texts(fetch_soon(subscription)) == ["a"]


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


class TestEnsuring:
    """Definitions are made once, and mended."""

    def test_a_second_time_changes_nothing(self, scene: Scene) -> None:
        """What is as it should be is left alone."""
        assert scene.ensure() == ()

    def test_differences_are_told_and_not_made(self, scene: Scene) -> None:
        """A dry run stays dry."""
        other = replace(scene.log_reader, name="other")

        told = scene.bus.differences([], [other], [Bucket(name="other", about="x")])

        assert told == (f"consumer {scene.log.name}/other: missing", "bucket other: missing")
        assert scene.bus.differences([], [other], []) == (f"consumer {scene.log.name}/other: missing",)

    def test_what_differs_is_mended_and_keeps_its_messages(self, scene: Scene) -> None:
        """A changed definition is no new stream."""
        scene.put(scene.log, "a")
        longer = replace(scene.log, max_age_s=7200)
        slower = replace(scene.log_reader, ack_wait_s=1)

        changed = scene.bus.ensure([longer], [slower], [])

        assert len(changed) == 2
        assert scene.bus.ensure([longer], [slower], []) == ()
        assert texts(fetch_soon(scene.bus.subscribe(slower))) == ["a"]


def _told(entry: KeyValueEntry | None) -> tuple[str, bytes | None] | None:
    return (entry.key, entry.value) if entry else None


def _next_change(changes: Iterator[KeyValueEntry | None]) -> KeyValueEntry:
    deadline = time.monotonic() + SOON_S
    while (entry := next(changes)) is None:
        assert time.monotonic() < deadline
    return entry
