"""PingSource: an event on a schedule, while we run; a time that passed while nobody ran is not made up for."""

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4
from zoneinfo import ZoneInfo

import aiohttp
from cronsim import CronSim

from sluice.errors import UnavailableError
from sluice.local.knative.delivery import Locate
from sluice.local.knative.wire import CloudEvent, to_headers
from sluice.local.manifests.specs import Ping

TRIES: Final = 5
TIMEOUT: Final = aiohttp.ClientTimeout(total=30)


async def ping_for_ever(spec: Ping, http: aiohttp.ClientSession, locate: Locate) -> None:
    """Send the event each time its schedule says so."""
    while True:
        now = datetime.now(ZoneInfo(spec.timezone))
        due = next(CronSim(spec.schedule, now))
        # In slices: a wall clock that is set meanwhile is noticed.
        while (left_s := (due - datetime.now(due.tzinfo)).total_seconds()) > 0:
            await asyncio.sleep(min(left_s, 10))
        await _send(spec, http, locate)


async def _send(spec: Ping, http: aiohttp.ClientSession, locate: Locate) -> None:
    event = CloudEvent(
        attributes={
            "specversion": "1.0",
            "type": "dev.knative.sources.ping",
            "source": f"/apis/v1/namespaces/{spec.namespace}/pingsources/{spec.name}",
            "id": str(uuid4()),
            "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": spec.content_type,
        },
        data=spec.data,
    )
    for number in range(TRIES):
        try:
            async with http.post(
                locate(spec.sink), data=event.data, headers=to_headers(event), timeout=TIMEOUT
            ) as answer:
                if answer.status < 300:
                    return
                reason = f"answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError, UnavailableError) as error:
            reason = repr(error)
        await asyncio.sleep(0.2 * 2.0**number)
    print(f"{spec.name}: {spec.sink.public} {reason}; this ping is lost", flush=True)
