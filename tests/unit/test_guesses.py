"""Whoever guesses keys has to wait; whoever has one does not."""

import pytest

from segmenter.ingest import guesses as module
from segmenter.ingest.guesses import MOST, WITHIN_S, Guesses, GuessesError


def admit(camera: str, key: str) -> bool:
    return key == f"key of {camera}"


def guess(guesses: Guesses, peer: str = "10.0.0.9", times: int = MOST) -> None:
    for number in range(times):
        assert not guesses.admits(peer, "gate", f"guess {number}", admit)


def test_after_many_wrong_keys_an_address_waits_a_minute() -> None:
    """Not even a right key is looked at until then."""
    now_s = [1000.0]
    guesses = Guesses(now=lambda: now_s[0])
    guess(guesses)
    now_s[0] += 20

    with pytest.raises(GuessesError) as caught:
        guesses.admits("10.0.0.9", "gate", "key of gate", admit)
    now_s[0] += WITHIN_S - 20

    assert caught.value.retry_s == 40
    assert guesses.admits("10.0.0.9", "gate", "key of gate", admit)


def test_others_do_not_wait() -> None:
    """Each address counts for itself."""
    guesses = Guesses()
    guess(guesses)

    assert guesses.admits("10.0.0.8", "gate", "key of gate", admit)


def test_a_camera_that_was_let_in_before_is_let_in() -> None:
    """It may have the address of a proxy, or of a network, that somebody else guesses from."""
    guesses = Guesses()
    assert guesses.admits("10.0.0.9", "gate", "key of gate", admit)
    guess(guesses)

    assert guesses.admits("10.0.0.9", "gate", "key of gate", admit)
    with pytest.raises(GuessesError):
        guesses.admits("10.0.0.9", "yard", "key of yard", admit)


def test_a_key_that_was_right_once_is_no_pass_for_ever() -> None:
    """It was changed, so it is a guess like others."""
    guesses = Guesses()
    guesses.admits("10.0.0.9", "gate", "key of gate", admit)
    guess(guesses)

    assert not guesses.admits("10.0.0.9", "gate", "key of gate", lambda *_: False)
    with pytest.raises(GuessesError):
        guesses.admits("10.0.0.9", "gate", "key of gate", lambda *_: False)


@pytest.mark.parametrize(
    ("one", "other"), [("2001:db8::1", "2001:db8::ffff"), ("::ffff:10.0.0.9", "10.0.0.9"), ("fe80::1%eth0", "fe80::2")]
)
def test_addresses_of_one_sender_count_together(one: str, other: str) -> None:
    """A whole network of IPv6 belongs to one."""
    guesses = Guesses()
    guess(guesses, one)

    with pytest.raises(GuessesError):
        guesses.admits(other, "gate", "guess", admit)


def test_however_many_come_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten."""
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    guesses = Guesses()

    for number in range(100):
        guesses.admits(f"10.0.0.{number}", "gate", "guess", admit)
        guesses.admits(f"10.0.0.{number}", f"camera-{number}", f"key of camera-{number}", admit)

    assert (len(guesses._wrong), len(guesses._right)) == (10, 10)
