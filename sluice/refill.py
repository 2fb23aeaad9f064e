"""A wiped result stream filled again from the result objects, under the same ids; what it has is left alone.

The server forgets an id after two hours, so what a camera has on the stream is read first: this may be run at any
time and often. In memory are the ids of one camera at a time.
"""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Final

from sluice import events, names
from sluice.bus import Bus
from sluice.contracts.envelope import Event
from sluice.errors import InvalidEventError, InvalidNameError, ObjectNotFoundError
from sluice.store import ListedObject, ObjectStore
from sluice.topology import RESULTS, Consumer

RESULT_OBJECTS: Final = "results/"
MARGIN: Final = timedelta(hours=2)
"""A message may be so much older than its object: its function died in between, and the work was done again."""
BATCH: Final = 500


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was done with the result objects of a time."""

    looked_at: int = 0
    published: int = 0
    there: int = 0
    """On the stream already."""
    unreadable: int = 0
    refused: int = 0
    """Not on the stream, and not taken: it was purged, and the server still remembers their ids."""


def refill(
    store: ObjectStore,
    bus: Bus,
    *,
    since: datetime,
    cameras: Collection[str] = (),
    told: Callable[[str, Tally], object] = lambda _key, _tally: None,
) -> Tally:
    """Publish what was recorded since then and is not on the stream; *told* hears of each object."""
    tally = Tally()
    by_camera: dict[str, list[str]] = {}
    for folder, camera in folders(store):
        if not cameras or camera in cameras:
            by_camera.setdefault(camera, []).append(folder)
    for camera, mine in sorted(by_camera.items()):
        there, doubtful = _ids(bus, camera, since=since - MARGIN), set[str]()
        for folder in mine:
            for each in store.list(folder):
                if each.modified >= since:
                    _refill_one(each, there, doubtful, store, bus, tally)
                    told(each.key, tally)
        if doubtful:
            # Published by its function while we worked, or forgotten by the stream and not by the server.
            came = len(doubtful & _ids(bus, camera, since=since - MARGIN))
            tally.there += came
            tally.refused += len(doubtful) - came
    return tally


def folders(store: ObjectStore) -> Iterator[tuple[str, str]]:
    """Each results/<function>[-<model>]/<camera>/ that holds something, with its camera; a page is read for each."""
    after = ""
    while found := next(store.list(RESULT_OBJECTS, after=after), None):
        pieces = found.key.split("/")
        if len(pieces) < 4:  # not ours
            after = found.key
            continue
        folder = "/".join(pieces[:3]) + "/"
        with suppress(InvalidNameError):
            yield folder, names.checked_camera(pieces[2])
        after = f"{folder}~"  # sorts behind every name in it


def _ids(bus: Bus, camera: str, *, since: datetime) -> set[str]:
    """Of the messages that the stream has of the camera."""
    consumer = Consumer(
        stream=RESULTS.name,
        name=f"refill-{token_hex(8)}",
        filter_subject=f"sluice.v1.*.{camera}",
        since=since,
        acks=False,
        inactive_s=60,
    )
    bus.ensure([RESULTS], [consumer], [])
    subscription, found = bus.subscribe(consumer), set[str]()
    while messages := subscription.fetch(BATCH, wait_s=0):
        found |= {each.headers.get("Nats-Msg-Id", "") for each in messages}
    return found


def _refill_one(
    listed: ListedObject, there: set[str], doubtful: set[str], store: ObjectStore, bus: Bus, tally: Tally
) -> None:
    tally.looked_at += 1
    try:
        name = names.parse_result_key(listed.key)
        if any(each in there for each in _possible_ids(name)):
            tally.there += 1
            return
        event = _read(store.get(listed.key).body, listed.key)
    except ObjectNotFoundError:
        return  # retention was faster
    except (InvalidNameError, InvalidEventError):
        tally.unreadable += 1
        return
    headers, payload = events.to_nats(event)
    subject = names.subject(event.data.KIND, name.chunk.camera)
    if event.id in there:
        tally.there += 1
    elif bus.publish(subject, payload, message_id=event.id, headers=headers).duplicate:
        doubtful.add(event.id)
    else:
        tally.published += 1


def _possible_ids(name: names.ResultName) -> Iterator[str]:
    """What the event in the object may be called: known without a look into it, but for its type."""
    work = f"{name.function}-{name.model}" if name.model else name.function
    return (names.event_id(kind, name.chunk.key, work, 0) for kind in events.CONTRACTS)


def _read(body: bytes, key: str) -> Event[Any]:
    try:
        return events.from_structured(body, events.CONTRACTS[json.loads(body)["type"]])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidEventError("an event as the result object", repr(body[:80]), key) from error
