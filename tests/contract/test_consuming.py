"""What every Bus keeps of consumers: the same tests for the fake and for NatsBus on a real server."""

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from sluice.errors import UnavailableError
from tests.contract.scene import ACK_WAIT_S, SOON_S, Scene, fetch_soon, texts


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
        last = time.monotonic()
        (message,) = fetch_soon(subscription)

        for _ in range(8):
            came = subscription.fetch(1, wait_s=ACK_WAIT_S / 4)
            silent_s, last = time.monotonic() - last, time.monotonic()
            message.in_progress()
            # Where others keep us from running for so long, it rightly comes again.
            assert not came or silent_s > ACK_WAIT_S
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
