"""What a function remembers of a camera: one object, changed by compare-and-swap alone."""

from typing import TypeVar

import msgspec

from sluice import telemetry
from sluice.errors import ConflictError, ObjectNotFoundError
from sluice.names import state_key
from sluice.store import ObjectStore

S = TypeVar("S")


def read_state(store: ObjectStore, function: str, camera: str, kind: type[S]) -> tuple[S, str | None]:
    """The state object and its etag; one that cannot be read counts as lost: *kind* has a default for each field."""
    try:
        found = store.get(state_key(function, camera))
    except ObjectNotFoundError:
        return kind(), None
    try:
        return msgspec.json.decode(found.body, type=kind), found.etag
    except msgspec.DecodeError:
        return kind(), found.etag


def keep_state(store: ObjectStore, function: str, camera: str, state: object, etag: str | None) -> None:
    """Write the state unless another instance was faster: it did the same, so its state is as good."""
    body = msgspec.json.encode(state)
    try:
        if etag is None:
            store.create(state_key(function, camera), body)
        else:
            store.replace(state_key(function, camera), body, etag=etag)
    except ConflictError:
        telemetry.current().count(f"{function}_conflicts")
