"""Hours of a camera: their names, and their indexes as they stand in the bucket."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Final, TypeVar

import msgspec

from sluice.contracts.index import HourIndex
from sluice.errors import InvalidNameError, ObjectNotFoundError
from sluice.names import CHUNK_SUFFIX, CHUNKS, index_key, parse_index_key
from sluice.store import ObjectStore

T = TypeVar("T")

HOUR_MS: Final = 3_600_000
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, the last that a key can name; names of 13 digits end earlier, in 2286."""
MAX_INDEX_BYTES: Final = 16 << 20
_AT_ONCE: Final = 8


def hour_of(time_ms: int) -> int:
    """The start of the hour in which a time lies."""
    return time_ms - time_ms % HOUR_MS


def day_and_hour(hour_ms: int) -> tuple[str, str]:
    """As keys have them."""
    at = datetime.fromtimestamp(hour_ms / 1000, tz=UTC)
    return f"{at:%Y-%m-%d}", f"{at:%H}"


def key_of(camera: str, hour_ms: int) -> str:
    """The key of an hour's index."""
    return index_key(camera, *day_and_hour(hour_ms))


def folder_of(camera: str, hour_ms: int) -> str:
    """Where the hour's chunks are."""
    day, hour = day_and_hour(hour_ms)
    return f"{CHUNKS}{camera}/{day}/{hour}/"


def key_of_chunk(camera: str, hour_ms: int, stem: str) -> str:
    """Of a chunk that an hour's index names."""
    return f"{folder_of(camera, hour_ms)}{stem}{CHUNK_SUFFIX}"


def indexed_hours(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Iterator[int]:
    """Starts of the hours that have an index and touch the range, in order."""
    first, last = key_of(camera, hour_of(max(0, from_ms))), key_of(camera, hour_of(max(0, to_ms - 1)))
    # Nothing sorts between a key without its last character and the key itself.
    for each in store.list(f"index/{camera}/", after=first[:-1]):
        if each.key > last:
            return
        try:
            _, day, hour = parse_index_key(each.key)
        except InvalidNameError:
            continue  # nothing of ours
        yield int(datetime.strptime(f"{day}/{hour}+0000", "%Y-%m-%d/%H%z").timestamp()) * 1000


def load(store: ObjectStore, camera: str, hour_ms: int, kind: type[T]) -> T | None:
    """An hour's index, or as much of it as *kind* says; one that is gone or cannot be read is none."""
    try:
        return msgspec.json.decode(store.get(key_of(camera, hour_ms), limit=MAX_INDEX_BYTES).body, type=kind)
    except (ObjectNotFoundError, msgspec.DecodeError):
        return None


def held(store: ObjectStore, camera: str, hour_ms: int) -> tuple[HourIndex | None, str | None]:
    """An hour's index, and its etag: to be replaced."""
    try:
        found = store.get(key_of(camera, hour_ms), limit=MAX_INDEX_BYTES)
    except ObjectNotFoundError:
        return None, None
    try:
        return msgspec.json.decode(found.body, type=HourIndex), found.etag
    except msgspec.DecodeError:
        return None, found.etag


def load_each(store: ObjectStore, camera: str, hours: Iterable[int], kind: type[T]) -> Iterator[tuple[int, T | None]]:
    """The indexes of several hours, in their order; a few are fetched at once."""
    remaining = iter(hours)
    while some := list(islice(remaining, _AT_ONCE)):
        if len(some) == 1:
            yield some[0], load(store, camera, some[0], kind)
            continue
        with ThreadPoolExecutor(max_workers=len(some), thread_name_prefix="index") as pool:
            yield from zip(some, pool.map(lambda hour: load(store, camera, hour, kind), some), strict=True)
