"""Access tokens of the gateway: objects named by the SHA-256 of a secret that is shown once and kept nowhere."""

import hashlib
import json
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import Any, Final

from sluice.errors import InvalidNameError, ObjectNotFoundError, SluiceError, UnusableInputError
from sluice.names import checked_camera, token_key
from sluice.store import ObjectStore

ADMIN: Final = "admin"
VIEWER: Final = "viewer"
ROLES: Final = (VIEWER, ADMIN)
FOLDER: Final = "tokens/"
MAX_BYTES: Final = 65_536
MAX_NOTE: Final = 200
CACHED_S: Final = 5.0
"""A revoked token is let in for no longer than this."""
_CACHED: Final = 4096
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_ID_LETTERS: Final = 12


class InvalidTokenError(SluiceError):
    """Raised when no token can be as described, or an object is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; not the token."""

    sha256: str
    role: str
    """viewer: reads; admin: also writes."""
    cameras: tuple[str, ...] | None = None
    """None: all, those to come as well."""
    created: datetime
    expires: datetime | None = None
    note: str = ""

    @property
    def id(self) -> str:
        """By which people name it; tells nothing of the secret."""
        return self.sha256[:_ID_LETTERS]

    @property
    def key(self) -> str:
        """Its object's key."""
        return token_key(self.sha256)

    @property
    def may_write(self) -> bool:
        """True for an admin."""
        return self.role == ADMIN

    def covers(self, camera: str) -> bool:
        """True if the camera is in its scope."""
        return self.cameras is None or camera in self.cameras

    def has_expired(self, now: datetime) -> bool:
        """True from the moment of its end on."""
        return self.expires is not None and now >= self.expires


def hashed(secret: str) -> str:
    """What is kept of a secret: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(
    store: ObjectStore,
    *,
    role: str = VIEWER,
    cameras: Collection[str] | None = None,
    lifetime: timedelta | None = None,
    note: str = "",
) -> tuple[str, Token]:
    """Make a token; returns the secret, which nobody can read again, and what is kept."""
    secret, now = secrets.token_urlsafe(32), datetime.now(UTC)
    token = _checked(
        Token(
            sha256=hashed(secret),
            role=role,
            cameras=None if cameras is None else tuple(dict.fromkeys(cameras)),
            created=now,
            expires=None if lifetime is None else now + lifetime,
            note=note,
        )
    )
    store.create(token.key, encode(token))
    return secret, token


def load_all(store: ObjectStore) -> tuple[tuple[Token, ...], tuple[str, ...]]:
    """Every token, the oldest first, and what is wrong with those that cannot be read."""
    found, problems = list[Token](), list[str]()
    for listed in store.list(FOLDER):
        try:
            found.append(_load(store, listed.key.removeprefix(FOLDER).removesuffix(".json")))
        except ObjectNotFoundError:
            continue
        except (InvalidTokenError, InvalidNameError, UnusableInputError) as error:
            problems.append(f"{listed.key}: {error}")
    return tuple(sorted(found, key=lambda token: token.created)), tuple(problems)


def revoke(store: ObjectStore, token_id: str) -> Token:
    """Delete the token that *token_id*, or its beginning, names; raises InvalidTokenError unless it names just one."""
    named = [token for token in load_all(store)[0] if token_id and token.sha256.startswith(token_id)]
    if len(named) != 1:
        raise InvalidTokenError(f"{len(named) or 'no'} tokens begin with {token_id!r}: sluice token list")
    store.delete([named[0].key])
    return named[0]


def forget_expired(store: ObjectStore, *, note: str) -> None:
    """Delete the tokens that have expired and bear this note: those that nobody made by hand."""
    now = datetime.now(UTC)
    store.delete([token.key for token in load_all(store)[0] if token.note == note and token.has_expired(now)])


def encode(token: Token) -> bytes:
    """The body of its object."""
    fields = {
        "role": token.role,
        "cameras": token.cameras,
        "created": token.created.isoformat(),
        "expires": token.expires and token.expires.isoformat(),
        "note": token.note,
    }
    return json.dumps(fields, indent=1).encode()


def decode(body: bytes, *, sha256: str) -> Token:
    """Read a token's object; fields that a newer version has added are ignored."""
    try:
        given: dict[str, Any] = json.loads(body)
        cameras, expires = given["cameras"], given.get("expires")
        token = Token(
            sha256=sha256,
            role=given["role"],
            cameras=None if cameras is None else _names(cameras),
            created=_time(given["created"]),
            expires=None if expires is None else _time(expires),
            note=str(given.get("note", "")),
        )
        return _checked(token)
    # A body of brackets alone makes a RecursionError.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidTokenError(f"expected a token as JSON, found {error!r:.200}") from error


class TokenBook:
    """Which token a secret is; asks the bucket at most once in CACHED_S for each."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Token | None]] = OrderedDict()

    def find(self, secret: str) -> Token | None:
        """The token, if it is one and has not expired. What takes how long tells of its hash at most."""
        if not _SECRET.fullmatch(secret):
            return None
        sha256 = hashed(secret)
        token = self._looked_up(sha256)
        if token is None or not compare_digest(token.sha256, sha256) or token.has_expired(self._now()):
            return None
        return token

    def _looked_up(self, sha256: str) -> Token | None:
        with self._lock:
            at, token = self._known.get(sha256, (None, None))
        now = self._clock()
        if at is not None and now - at < CACHED_S:
            return token
        try:
            token = _load(self._store, sha256)
        except (ObjectNotFoundError, InvalidTokenError, UnusableInputError):
            token = None
        with self._lock:
            self._known[sha256] = (now, token)
            self._known.move_to_end(sha256)
            while len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return token


def _load(store: ObjectStore, sha256: str) -> Token:
    return decode(store.get(token_key(sha256), limit=MAX_BYTES).body, sha256=sha256)


def _checked(token: Token) -> Token:
    if token.role not in ROLES:
        raise InvalidTokenError(f"role: expected {' or '.join(ROLES)}, found {token.role!r}")
    if token.cameras == ():
        raise InvalidTokenError("cameras: expected at least one, or all")
    for camera in token.cameras or ():
        try:
            checked_camera(camera)
        except TypeError as error:
            raise InvalidTokenError(f"cameras: expected names, found {camera!r}") from error
        except InvalidNameError as error:
            raise InvalidTokenError(str(error)) from error
    return replace(token, note=token.note[:MAX_NOTE])


def _names(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise TypeError(f"cameras: expected a list or null, found {given!r:.80}")
    return tuple(given)


def _time(text: str) -> datetime:
    time_ = datetime.fromisoformat(text)
    if time_.tzinfo is None:
        raise ValueError(f"expected a time with its zone, found {text!r}")
    return time_
