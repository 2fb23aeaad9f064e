"""What every Bus keeps of streams: the same tests for the fake and for NatsBus on a real server."""

import time
from dataclasses import replace

import pytest

from sluice.errors import UnavailableError, UnusableInputError
from sluice.topology import Bucket
from tests.contract.scene import MIB, SOON_S, Scene, fetch_soon, texts


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
