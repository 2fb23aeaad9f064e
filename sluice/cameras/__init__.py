"""Cameras as objects: how one is described, where it is kept, its push key, and how all of one is deleted."""

from sluice.cameras.description import InvalidCameraError, Problem, checked, decode, encode, parse
from sluice.cameras.keys import checked_key, hashed_key, key_fits, new_key
from sluice.cameras.purge import QUIET_S, purge
from sluice.cameras.registry import Loaded, change, create, find, load, load_all, mirror, remove, save

__all__ = [
    "QUIET_S",
    "InvalidCameraError",
    "Loaded",
    "Problem",
    "change",
    "checked",
    "checked_key",
    "create",
    "decode",
    "encode",
    "find",
    "hashed_key",
    "key_fits",
    "load",
    "load_all",
    "mirror",
    "new_key",
    "parse",
    "purge",
    "remove",
    "save",
]
