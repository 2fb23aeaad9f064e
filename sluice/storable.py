"""What every object store and its clients take unchanged; checked before a request is made, by S3Store and its fake."""

import re
from collections.abc import Mapping
from typing import Final

from sluice.errors import InvalidNameError, UnusableInputError

_METADATA_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_METADATA_TEXT: Final = re.compile(r"[!-~]([ -~]*[!-~])?")
_METADATA_BYTES: Final = 2048
"""S3's own limit on names and texts together."""
_UNSAFE_IN_KEY: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|(^|/)\.{0,2}(/|$)")
"""Control characters do not survive the XML of a deletion; URL libraries resolve `.` and `..`, stores refuse `//`."""


def checked_key(key: str) -> str:
    """Return *key* if it reaches the store as it is, else raise InvalidNameError."""
    if _UNSAFE_IN_KEY.search(key) or len(key.encode()) > 1024:
        raise InvalidNameError("object key", key, "1 to 1024 bytes, no control characters, no empty or dotted folder")
    return key


def checked_range(first: int, last: int | None) -> None:
    """Raise ValueError unless first..last is a range: a store answers a reversed one with the whole object."""
    if first < 0 or (last is not None and last < first):
        raise ValueError(f"bytes {first}..{last}: expected 0 <= first <= last")


def checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return what headers carry unchanged, else raise ValueError naming the entry."""
    given = dict(metadata or {})
    for name, text in given.items():
        if not _METADATA_NAME.fullmatch(name) or not _METADATA_TEXT.fullmatch(text):
            raise ValueError(f"metadata {name!r}: expected a lower-case name and printable ASCII, found {text[:80]!r}")
    if sum(len(name) + len(text) for name, text in given.items()) > _METADATA_BYTES:
        raise ValueError(f"metadata: expected at most {_METADATA_BYTES} bytes in all")
    return given


def too_large(key: str, size_bytes: int, limit: int) -> UnusableInputError:
    """The error for an object that would fill the memory of its reader."""
    return UnusableInputError(expected=f"at most {limit} bytes", found=f"{size_bytes} bytes", where=key)


def ends_before(key: str, first: int) -> UnusableInputError:
    """The error for an object that has no byte *first*."""
    return UnusableInputError(expected=f"a byte {first}", found="an object that ends before it", where=key)
