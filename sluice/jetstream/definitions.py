"""Streams, consumers and buckets at the server compared with their definitions, and mended."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from nats.js import api
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from sluice.errors import SettingsError
from sluice.jetstream.connection import Connection, Link, reason
from sluice.topology import Bucket, Consumer, Stream

OLDEST_SERVER: Final = (2, 12)
_UNITS: Final = {
    "max_age": " s",
    "duplicate_window": " s",
    "ack_wait": " s",
    "inactive_threshold": " s",
    "max_bytes": " bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs, and how to mend it."""

    sentence: str
    make: Callable[[], Coroutine[Any, Any, object]]


def differences(
    connection: Connection, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
) -> tuple[str, ...]:
    """What would have to change at the server, a sentence each."""

    async def work(link: Link) -> tuple[str, ...]:
        return tuple(change.sentence for change in await _plan(link, streams, consumers, buckets))

    return connection.call(work, about="$JS.API")


def ensure(
    connection: Connection, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
) -> tuple[str, ...]:
    """Make and mend; raises SettingsError for what the server will not change in place."""

    async def work(link: Link) -> tuple[str, ...]:
        plan = await _plan(link, streams, consumers, buckets)
        for change in plan:
            try:
                await change.make()
            except ServiceUnavailableError:
                raise
            except APIError as error:
                raise SettingsError((f"NATS will not mend this: {change.sentence}: {reason(error)}",)) from error
        return tuple(change.sentence for change in plan)

    return connection.call(work, about="$JS.API")


def forget(connection: Connection, consumer: Consumer) -> None:
    """Delete a consumer, unless it is not there."""

    async def work(link: Link) -> None:
        with suppress(NotFoundError):
            await link.js.delete_consumer(consumer.stream, consumer.name)

    connection.call(work, about=f"{consumer.stream}.{consumer.name}")


async def _plan(
    link: Link, streams: Sequence[Stream], consumers: Sequence[Consumer], buckets: Sequence[Bucket]
) -> list[Change]:
    version = link.client.connected_server_version
    if (version.major, version.minor) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        found = f"{version.major}.{version.minor}.{version.patch}"
        problem = f"NATS server {found}: expected {oldest} or newer, as older ones ignore fields silently"
        raise SettingsError((problem,))
    found_changes = [await _stream_change(link, stream) for stream in streams]
    found_changes += [await _consumer_change(link, consumer) for consumer in consumers]
    found_changes += [await _bucket_change(link, bucket) for bucket in buckets]
    return [change for change in found_changes if change]


async def _stream_change(link: Link, stream: Stream) -> Change | None:
    wanted: dict[str, Any] = {
        "description": stream.about,
        "subjects": sorted(stream.subjects),
        "retention": "workqueue" if stream.work_queue else "limits",
        "storage": "file",
        "discard": "old",
        "max_age": stream.max_age_s,
        "max_bytes": stream.max_bytes,
        "duplicate_window": stream.dedupe_s,
    }
    what = f"stream {stream.name}"
    try:
        config = (await link.js.stream_info(stream.name)).config
    except NotFoundError:
        new = api.StreamConfig(name=stream.name, **wanted)
        return Change(sentence=f"{what}: missing", make=lambda: link.js.add_stream(new))
    changed = _changed(config, wanted)
    if not changed:
        return None
    mended = config.evolve(**wanted)
    return Change(sentence=f"{what}: {changed}", make=lambda: link.js.update_stream(mended))


async def _consumer_change(link: Link, consumer: Consumer) -> Change | None:
    wanted: dict[str, Any] = {
        "max_deliver": -1,
        "filter_subject": consumer.filters[0] if len(consumer.filters) == 1 else "",
        "filter_subjects": sorted(consumer.filters) if len(consumer.filters) > 1 else None,
        "inactive_threshold": consumer.inactive_s,
        **_acknowledged(consumer),
    }
    what = f"consumer {consumer.stream}/{consumer.name}"
    try:
        config = (await link.js.consumer_info(consumer.stream, consumer.name)).config
    except NotFoundError:
        new = api.ConsumerConfig(name=consumer.name, durable_name=consumer.name, **wanted, **_beginning(consumer))
        return Change(sentence=f"{what}: missing", make=lambda: link.js.add_consumer(consumer.stream, config=new))
    changed = _changed(config, wanted)
    if not changed:
        return None
    mended = config.evolve(**wanted)
    return Change(sentence=f"{what}: {changed}", make=lambda: link.js.add_consumer(consumer.stream, config=mended))


def _acknowledged(consumer: Consumer) -> dict[str, Any]:
    if not consumer.acks:
        return {"ack_policy": "none"}
    return {"ack_policy": "explicit", "ack_wait": consumer.ack_wait_s, "max_ack_pending": consumer.max_ack_pending}


def _beginning(consumer: Consumer) -> dict[str, Any]:
    """Not compared: the server does not change where a consumer began."""
    if consumer.since is None:
        return {}
    return {"deliver_policy": api.DeliverPolicy.BY_START_TIME, "opt_start_time": consumer.since}


async def _bucket_change(link: Link, bucket: Bucket) -> Change | None:
    what = f"bucket {bucket.name}"
    try:
        config = (await link.js.stream_info(f"KV_{bucket.name}")).config
    except NotFoundError:
        new = api.KeyValueConfig(bucket=bucket.name, description=bucket.about, history=1, storage="file", direct=True)
        return Change(sentence=f"{what}: missing", make=lambda: link.js.create_key_value(new))
    wanted = {"description": bucket.about, "storage": "file", "allow_direct": True, "max_msgs_per_subject": 1}
    changed = _changed(config, wanted)
    if not changed:
        return None
    mended = config.evolve(**wanted)
    return Change(sentence=f"{what}: {changed}", make=lambda: link.js.update_stream(mended))


def _changed(config: object, wanted: Mapping[str, Any]) -> str:
    """The fields that differ, as "max_age 3600 s -> 604800 s"."""
    sides = {name: (_plain(getattr(config, name)), _plain(value)) for name, value in wanted.items()}
    return ", ".join(
        f"{name} {_shown(name, is_)} -> {_shown(name, shall)}" for name, (is_, shall) in sides.items() if is_ != shall
    )


def _plain(value: Any) -> Any:
    """The server leaves out what is empty, orders subjects as it likes, and nats-py's enums are words."""
    if isinstance(value, list):
        return sorted(value)
    return getattr(value, "value", value) or ""


def _shown(name: str, value: Any) -> str:
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    if isinstance(value, list):
        value = ",".join(value)
    return f"{value}{_UNITS.get(name, '')}" if value != "" else "(none)"
