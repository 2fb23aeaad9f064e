"""The data of an event: JSON as a contract, and no contract that contradicts itself."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

import msgspec

from sluice import names
from sluice.attributes import SHOWN
from sluice.contracts.chunk import ChunkRef
from sluice.errors import InvalidEventError, InvalidNameError

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes, contract: type[T]) -> T:
    """Read a contract from JSON, ignoring fields it does not know; raises InvalidEventError."""
    try:
        data: T = _decoder(contract).decode(body)  # type: ignore[arg-type]  # a class is hashable
    # UnicodeDecodeError and msgspec's own are ValueErrors; a body of brackets alone makes a RecursionError.
    except (ValueError, RecursionError) as error:
        expected: str = contract.TYPE  # type: ignore[attr-defined]  # every contract has one
        raise InvalidEventError(f"the data of {expected}", str(error)[:SHOWN], "data") from error
    chunk: ChunkRef | None = getattr(data, "chunk", None)
    if chunk is not None:
        _check_reference(chunk)
    return data


@cache
def _decoder(contract: type[Any]) -> Any:
    return msgspec.json.Decoder(contract)


def _check_reference(chunk: ChunkRef) -> None:
    """Whoever trusts the reference and whoever trusts the key must see the same chunk."""
    try:
        name = names.parse_chunk_key(chunk.key)
    except InvalidNameError as error:
        raise InvalidEventError(error.expected, chunk.key[:SHOWN], "$.chunk.key") from error
    if chunk.start.tzinfo is None:
        raise InvalidEventError("a time with its zone", chunk.start.isoformat(), "$.chunk.start")
    start_ms = (chunk.start - _EPOCH) // timedelta(milliseconds=1)
    said: dict[str, tuple[object, object]] = {"start": (start_ms, name.start_ms)}
    for field in ("camera", "duration_ms", "session", "seq", "activity", "init_key"):
        said[field] = getattr(chunk, field), getattr(name, field)
    for field, (found, expected) in said.items():
        if found != expected:
            raise InvalidEventError(f"{expected} as the key says", str(found)[:SHOWN], f"$.chunk.{field}")
