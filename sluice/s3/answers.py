"""What an S3 server answered: bodies, headers, and which of our errors a refusal is."""

import time
from typing import Any, Final

from sluice.errors import ConflictError, ObjectNotFoundError, SluiceError, StoreError, UnavailableError
from sluice.storable import ends_before, too_large

_READ_BYTES: Final = 1 << 20
_META: Final = "x-amz-meta-"
_MENDABLE: Final = (301, 307, 401, 403, 408, 429)
"""Wrong region, user, secret or rights are faults of the installation: the event waits until they are mended."""
_MENDABLE_CODES: Final = (
    "NoSuchBucket",
    "RequestTimeout",
    "AuthorizationHeaderMalformed",
    "ConditionalRequestConflict",
)
"""The same under other statuses; the last is AWS's answer while another conditional write is under way."""


def read(answer: Any, key: str, *, limit: int | None, deadline: float) -> bytes:
    """The body as stored; a server that lies about the size, or trickles, is left at the limit or the deadline."""
    declared = int(answer.headers.get("content-length", 0))
    if limit is not None and declared > limit:
        raise too_large(key, declared, limit)
    pieces, size = [], 0
    while piece := answer.read1(_READ_BYTES, decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if limit is not None and size > limit:
            raise too_large(key, size, limit)
        if time.monotonic() > deadline:
            raise UnavailableError("store", f"get {key!r}: {size} of {declared} bytes in the time given")
    return b"".join(pieces)


def etag(answer: Any) -> str:
    """Without the quotes of the header."""
    return str(answer.headers.get("etag", "")).strip('"')


def metadata(answer: Any) -> dict[str, str]:
    """User metadata, as it was put."""
    headers = ((name.lower(), text) for name, text in answer.headers.items())
    return {name.removeprefix(_META): text for name, text in headers if name.startswith(_META)}


def headers(given: dict[str, str]) -> dict[str, str]:
    """User metadata as headers; unprefixed, minio-py would send a name such as `expires` as the header of that name."""
    return {_META + name: text for name, text in given.items()}


def body_headers(content_type: str, cache_control: str) -> dict[str, str]:
    """What a body is, as headers of its PUT."""
    return {"Content-Type": content_type} | ({"Cache-Control": cache_control} if cache_control else {})


def refusal(error: Any, what: str, key: str, *, first: int, expected: str | None) -> SluiceError:
    """Which of our errors an S3Error is; *expected* is the condition of a conditional PUT."""
    status, code = error.response.status, str(error.code)
    if expected is not None and (status == 412 or code == "NoSuchKey"):  # the second for If-Match on an absent key
        return ConflictError(key, expected)
    if code == "NoSuchKey":
        return ObjectNotFoundError(key)
    if status == 416:
        return ends_before(key, first)
    told = f"{what}: {code}: {error.message}"
    if status >= 500 or status in _MENDABLE or code in _MENDABLE_CODES:
        return UnavailableError("store", told)
    return StoreError(told)
