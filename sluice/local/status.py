"""What `sluice status` shows, served on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from sluice.errors import SluiceError
from sluice.topology import CONSUMERS

if TYPE_CHECKING:
    from sluice.local.runtime import Runtime


@asynccontextmanager
async def served(runtime: "Runtime", jetstream: JetStreamContext) -> AsyncIterator[None]:
    """GET /status, as JSON; POST /users, after a change of who may read."""

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({**describe(runtime), "pending": await pending(runtime, jetstream)})

    async def users(_request: web.Request) -> web.Response:
        assert runtime.readers is not None  # noqa: S101 (it was started)
        try:
            return web.json_response({"users": await runtime.readers.refresh()})
        except SluiceError as error:
            return web.Response(status=503, text=str(error))

    app = web.Application()
    app.router.add_get("/status", status)
    if runtime.readers:
        app.router.add_post("/users", users)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", runtime.state.port("admin")).start()
    try:
        yield
    finally:
        await runner.cleanup()


def describe(runtime: "Runtime") -> dict[str, Any]:
    """Parts, functions, Triggers, addresses, and what is wrong."""
    cluster = runtime.cluster
    assert cluster is not None  # noqa: S101 (it was started)
    parts = {
        each.program.name: {"phase": each.phase, "pid": each.pid, "restarts": each.restarts, "problem": each.problem}
        for each in (*runtime.parts.values(), *cluster.replicas())
    }
    triggers = {name: {**each.thing.counts, "problem": each.thing.problem} for name, each in cluster.triggers.items()}
    return {
        "parts": parts,
        "services": {name: each.describe() for name, each in cluster.services.items()},
        "triggers": triggers,
        "endpoints": {**runtime.plan.addresses, **cluster.addresses()},
        "skipped": list(runtime.manifests.skipped),
        "problems": [*runtime.problems, *(runtime.readers.problems if runtime.readers else ())],
        "notices": list(runtime.plan.notices),
    }


async def pending(runtime: "Runtime", jetstream: JetStreamContext) -> int | None:
    """Announcements and events that are under way; None while NATS cannot tell."""
    count = await asyncio.to_thread(_undelivered, Path(runtime.plan.queue))
    try:
        for consumer in CONSUMERS:
            with suppress(NotFoundError):
                found = await jetstream.consumer_info(consumer.stream, consumer.name)
                count += (found.num_pending or 0) + (found.num_ack_pending or 0)
        return count + (await runtime.cluster.pending() if runtime.cluster else 0)
    except (NatsError, TimeoutError):
        return None


def _undelivered(queue: Path) -> int:
    return sum(1 for each in queue.rglob("*") if each.is_file())
