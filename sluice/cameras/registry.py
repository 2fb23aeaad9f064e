"""Where cameras are kept: objects in the bucket, and their copies in the KV bucket `sluice_cameras`.

The object is the truth. A copy that could not be written is a warning: the segmenter compares both each minute.
Where NATS is known to be away, None stands for it: the copy is left to the segmenter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sluice.bus import Bus
from sluice.cameras.description import MAX_BYTES, InvalidCameraError, decode, encode, encode_over
from sluice.contracts.camera import Camera
from sluice.errors import (
    ConflictError,
    InvalidNameError,
    ObjectNotFoundError,
    UnavailableError,
    UnusableInputError,
)
from sluice.names import camera_key
from sluice.store import ObjectStore, StoredObject
from sluice.topology import CAMERAS

FOLDER: Final = "cameras/"
_SUFFIX: Final = ".json"
_TRIES: Final = 10
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Every camera that is configured."""

    cameras: Mapping[str, Camera] = field(default_factory=dict)
    """By name."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """By name, or by object key where that gives none: what cannot be read. Such a camera is not gone: go on with what
    is known of it."""
    etags: Mapping[str, str] = field(default_factory=dict)
    """By object key."""


def load(store: ObjectStore, name: str) -> Camera:
    """The camera *name*; raises ObjectNotFoundError or InvalidCameraError."""
    return _decoded(store.get(camera_key(name), limit=MAX_BYTES), name)


def find(store: ObjectStore, name: str) -> Camera | None:
    """The camera *name*; None when it is gone, or when nobody can read its object."""
    try:
        return load(store, name)
    except (ObjectNotFoundError, InvalidCameraError):
        return None


def load_all(store: ObjectStore, known: Loaded | None = None) -> Loaded:
    """Every camera; an object that is the same as in *known* is not read again."""
    cameras: dict[str, Camera] = {}
    problems: dict[str, str] = {}
    etags: dict[str, str] = {}
    for each in store.list(FOLDER):
        name = _name_of(each.key)
        if known and known.etags.get(each.key) == each.etag:
            cameras.update({name: known.cameras[name]} if name in known.cameras else {})
            problems.update({name: known.problems[name]} if name in known.problems else {})
        else:
            try:
                cameras[name] = load(store, name)
            except ObjectNotFoundError:
                continue
            except (InvalidCameraError, InvalidNameError, UnusableInputError) as error:
                problems[name] = str(error)
        etags[each.key] = each.etag
    return Loaded(cameras=cameras, problems=problems, etags=etags)


def _name_of(key: str) -> str:
    """The camera of an object key; the key itself, which is no name, where it has none."""
    name = key.removeprefix(FOLDER).removesuffix(_SUFFIX)
    try:
        return name if camera_key(name) == key else key
    except InvalidNameError:
        return key


def save(store: ObjectStore, bus: Bus | None, camera: Camera) -> str | None:
    """Write the camera whatever was there; a warning when its copy could not be written."""
    store.put(camera_key(camera.name), encode(camera), content_type=_JSON)
    return mirror(store, bus, camera.name)


def create(store: ObjectStore, bus: Bus | None, camera: Camera) -> str | None:
    """Write a camera that is new; raises ConflictError if there is one of this name."""
    store.create(camera_key(camera.name), encode(camera), content_type=_JSON)
    return mirror(store, bus, camera.name)


def change(
    store: ObjectStore, bus: Bus | None, name: str, changed: Callable[[Camera], Camera]
) -> tuple[Camera, str | None]:
    """Apply *changed* to what is stored, again if another writer was first; its other fields stay as they are."""
    key = camera_key(name)
    for _ in range(_TRIES):
        found = store.get(key, limit=MAX_BYTES)
        camera = changed(_decoded(found, name))
        body = encode_over(camera, found.body)
        if body == found.body:
            return camera, mirror(store, bus, name)
        try:
            store.replace(key, body, etag=found.etag, content_type=_JSON)
        except ConflictError:
            continue
        return camera, mirror(store, bus, name)
    raise ConflictError(key, f"fewer than {_TRIES} other writers")


def remove(store: ObjectStore, bus: Bus | None, name: str) -> str | None:
    """Delete the camera's object, then its copy; what was recorded stays."""
    store.delete([camera_key(name)])
    return mirror(store, bus, name)


def mirror(store: ObjectStore, bus: Bus | None, name: str) -> str | None:
    """Make the copy say what the object says; a warning when it cannot be.

    Of two who write at once, the one who mirrors last may hold the older body: so each looks again, until what it
    copied is what is stored.
    """
    key = camera_key(name)
    if bus is None:
        return None
    try:
        entries = bus.bucket(CAMERAS.name)
        for _ in range(_TRIES):
            copied = _body(store, key)
            if copied is None:
                entries.delete(name)
            else:
                entries.put(name, copied)
            if _body(store, key) == copied:
                return None
    except UnavailableError as error:
        return f"the bucket has it, but the segmenter learns of {name!r} within a minute only: {error}"
    return f"camera {name!r} is being changed by others all the time"


def _body(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key, limit=MAX_BYTES).body
    except ObjectNotFoundError:
        return None


def _decoded(found: StoredObject, name: str) -> Camera:
    return decode(found.body, name=name)
