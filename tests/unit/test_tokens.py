"""Tokens: kept as a hash, found by the secret alone, forgotten within seconds of their end."""

from datetime import UTC, datetime, timedelta

import pytest

from sluice import tokens
from sluice.errors import UnavailableError
from sluice.testing.store import MemoryStore
from sluice.tokens import CACHED_S, InvalidTokenError, TokenBook


def test_a_secret_is_stored_nowhere() -> None:
    """Whoever reads the bucket cannot use what he finds."""
    store = MemoryStore()

    secret, token = tokens.create(store, note="wall")

    [listed] = store.list("")
    assert listed.key == f"tokens/{tokens.hashed(secret)}.json" == token.key
    assert secret.encode() not in store.get(listed.key).body


def test_a_token_is_what_was_made() -> None:
    """Role, cameras, end and note survive the bucket."""
    store = MemoryStore()

    secret, made = tokens.create(
        store, role="admin", cameras=["gate", "yard", "gate"], lifetime=timedelta(days=1), note="wall"
    )

    assert TokenBook(store).find(secret) == made
    assert made.cameras == ("gate", "yard")
    assert made.covers("gate")
    assert not made.covers("dock")
    assert tokens.load_all(store) == ((made,), ())


@pytest.mark.parametrize("secret", ["", "x", "a" * 43, "ä" * 43, "a" * 42 + "\n", "../../cameras/gate", "\ud800" * 43])
def test_what_is_no_token_is_none(secret: str) -> None:
    """Also what cannot be hashed or would be another key."""
    assert TokenBook(MemoryStore()).find(secret) is None


def test_a_token_ends_by_its_time() -> None:
    """At the very moment, and although it is cached."""
    store, at = MemoryStore(), [datetime.now(UTC)]
    book = TokenBook(store, now=lambda: at[0])
    secret, token = tokens.create(store, lifetime=timedelta(hours=1))
    assert token.expires is not None

    before = book.find(secret)
    at[0] = token.expires

    assert before == token
    assert book.find(secret) is None


def test_a_revoked_token_is_let_in_for_seconds_at_most() -> None:
    """The bucket is asked again after CACHED_S, not at each request."""
    store, at = MemoryStore(), [0.0]
    book = TokenBook(store, clock=lambda: at[0])
    secret, token = tokens.create(store)
    book.find(secret)

    tokens.revoke(store, token.id)

    assert book.find(secret) == token
    at[0] += CACHED_S
    assert book.find(secret) is None


def test_without_the_bucket_nobody_is_let_in_or_called_unknown() -> None:
    """It may be a token: the answer is `later`."""
    store = MemoryStore()
    secret, _ = tokens.create(store)
    store.down = True

    with pytest.raises(UnavailableError):
        TokenBook(store).find(secret)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"role": "viewer"}',
        b'{"role": "root", "cameras": null, "created": "2026-11-21T12:00:00+00:00"}',
        b'{"role": "viewer", "cameras": "gate", "created": "2026-11-21T12:00:00+00:00"}',
        b'{"role": "viewer", "cameras": [1], "created": "2026-11-21T12:00:00+00:00"}',
        b'{"role": "viewer", "cameras": [], "created": "2026-11-21T12:00:00+00:00"}',
        b'{"role": "viewer", "cameras": null, "created": "2026-11-21T12:00:00"}',
        b'{"role": ["viewer"], "cameras": null, "created": 7}',
    ],
)
def test_an_object_that_is_no_token_lets_nobody_in(body: bytes) -> None:
    """It is listed as a problem, and in doubt it opens nothing."""
    store = MemoryStore()
    secret = "s" * 43
    store.put(f"tokens/{tokens.hashed(secret)}.json", body)

    found, problems = tokens.load_all(store)

    assert TokenBook(store).find(secret) is None
    assert found == ()
    assert len(problems) == 1


@pytest.mark.parametrize(("role", "cameras"), [("root", None), ("viewer", []), ("viewer", ["A b"])])
def test_no_token_is_made_that_would_not_be_read(role: str, cameras: list[str] | None) -> None:
    """No camera named is an error, not all of them."""
    store = MemoryStore()

    with pytest.raises(InvalidTokenError):
        tokens.create(store, role=role, cameras=cameras)

    assert list(store.list("")) == []


def test_only_one_token_is_revoked_at_a_time() -> None:
    """An id that begins several, or none, or is empty, ends none."""
    store = MemoryStore()
    for _ in range(17):
        tokens.create(store)
    first = [token.id[:1] for token in tokens.load_all(store)[0]]
    doubled = next(letter for letter in first if first.count(letter) > 1)

    for given in ("", doubled, "zz"):
        with pytest.raises(InvalidTokenError):
            tokens.revoke(store, given)

    assert len(tokens.load_all(store)[0]) == 17


def test_nothing_named_is_nothing_revoked() -> None:
    """Also where there is one token only."""
    store = MemoryStore()
    tokens.create(store)

    with pytest.raises(InvalidTokenError):
        tokens.revoke(store, "")
