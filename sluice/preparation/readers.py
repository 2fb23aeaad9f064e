"""Who may read events from outside: users of NATS that can publish nothing and make nothing.

A reader listens to its subjects live. For what was missed there is one consumer a stream, made by the administrator
under the reader's own login. It may not make consumers by itself, though that is how JetStream clients replay: whoever
makes one names the subject to deliver to, and the server stores what it delivers in whatever stream takes that
subject, without asking whether its maker may publish there.
"""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from sluice.errors import ConflictError, InvalidNameError, ObjectNotFoundError, SluiceError
from sluice.local.nats import NatsUser
from sluice.names import checked_camera
from sluice.selection import streams_of
from sluice.store import ObjectStore
from sluice.topology import Consumer

FOLDER: Final = "users/"
PREFIX: Final = "user-"
"""Keeps logins apart from the parts'."""
SECRET_BYTES: Final = 24
COST: Final = 4
"""Of bcrypt, the least: nobody guesses 192 random bits, however fast, and every login waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The object users/<name>.json; only the administrator reads it."""

    name: str
    password: str = field(repr=False)
    """As bcrypt hashes it."""
    created: datetime
    cameras: tuple[str, ...] = ()
    """None: all."""
    kinds: tuple[str, ...] = ()
    """None: all."""
    expires: datetime | None = None
    since: datetime | None = None
    """Where its consumers begin when they are made; None: with all that is there."""

    def __post_init__(self) -> None:
        reader_key(self.name)
        for camera in self.cameras:
            checked_camera(camera)
        streams_of(self.kinds, self.cameras)

    @property
    def login(self) -> str:
        """Its user at NATS, the name of its consumers, and of its inbox."""
        return f"{PREFIX}{self.name}"

    @property
    def key(self) -> str:
        """Of its object."""
        return reader_key(self.name)

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it may listen to."""
        if not self.cameras and not self.kinds:
            return ("sluice.v1.>",)
        found = [filters or stream.subjects for stream, filters in streams_of(self.kinds, self.cameras).items()]
        return tuple(dict.fromkeys(each for those in found for each in those))

    @property
    def consumers(self) -> tuple[Consumer, ...]:
        """One a stream that holds something for it."""
        return tuple(
            Consumer(
                stream=stream.name,
                name=self.login,
                filter_subjects=filters,
                since=self.since,
                inactive_s=stream.max_age_s,
            )
            for stream, filters in streams_of(self.kinds, self.cameras).items()
        )

    def has_expired(self, now: datetime) -> bool:
        """True: it is let in no longer."""
        return self.expires is not None and now >= self.expires

    def nats_user(self) -> NatsUser:
        """Its rights: to listen, to fetch from its own consumers, and to say how far it is."""
        mine = [f"{each.stream}.{each.name}" for each in self.consumers]
        verbs = ("$JS.API.CONSUMER.INFO.{}", "$JS.API.CONSUMER.MSG.NEXT.{}", "$JS.ACK.{}.>")
        return NatsUser(
            name=self.login,
            password=self.password,
            publish=tuple(verb.format(each) for each in mine for verb in verbs),
            subscribe=(f"_INBOX.{self.login}.>", *self.subjects),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All readers, and the objects that are none."""

    readers: tuple[Reader, ...]
    problems: tuple[str, ...]


def reader_key(name: str) -> str:
    """The object key of a reader."""
    try:
        return f"{FOLDER}{checked_camera(name)}.json"
    except InvalidNameError as error:
        raise InvalidNameError("user", name, error.expected) from error


def new_password() -> tuple[str, str]:
    """One made at random, and what is kept of it."""
    # Of pycryptodome, which minio brings along; 50 ms that nobody else has to wait for.
    from Crypto.Protocol.KDF import bcrypt

    password = secrets.token_urlsafe(SECRET_BYTES)
    return password, bcrypt(password, COST).decode()


def create(store: ObjectStore, reader: Reader) -> None:
    """Keep it; raises SluiceError when there is one of this name."""
    try:
        store.create(reader.key, msgspec.json.encode(reader))
    except ConflictError as error:
        raise SluiceError(f"there is a user {reader.name!r} already: remove it first") from error


def load(store: ObjectStore, name: str) -> Reader:
    """Read one; raises SluiceError when there is none."""
    try:
        return _decode(store.get(reader_key(name)).body, reader_key(name))
    except ObjectNotFoundError as error:
        known = ", ".join(each.name for each in load_all(store).readers) or "none"
        raise SluiceError(f"there is no user {name!r}; there are: {known}") from error


def load_all(store: ObjectStore) -> Loaded:
    """Read all; one that nobody can read hides none of the others."""
    readers, problems = [], []
    for listed in store.list(FOLDER):
        try:
            readers.append(_decode(store.get(listed.key).body, listed.key))
        except ObjectNotFoundError:
            continue  # removed meanwhile
        except SluiceError as error:
            problems.append(str(error))
    return Loaded(readers=tuple(readers), problems=tuple(problems))


def begin_again(store: ObjectStore, reader: Reader, since: datetime) -> Reader:
    """Remember where its consumers begin from now on."""
    moved = replace(reader, since=since)
    store.put(reader.key, msgspec.json.encode(moved), content_type="application/json")
    return moved


def _decode(body: bytes, key: str) -> Reader:
    try:
        reader = msgspec.json.decode(body, type=Reader)
    except (msgspec.MsgspecError, InvalidNameError) as error:
        raise SluiceError(f"{key} is no user: {error}") from error
    if reader.key != key:
        raise SluiceError(f"{key} is no user: it names {reader.name!r}")
    return reader
