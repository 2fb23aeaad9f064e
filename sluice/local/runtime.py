"""`sluice up`: the servers, then what the manifests ask for; followed until a signal ends it all in order."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from sluice.bus import NatsBus
from sluice.errors import UnavailableError
from sluice.local import servers
from sluice.local.broker import connect
from sluice.local.cluster import Cluster, Running
from sluice.local.instances import Supervised
from sluice.local.manifests import ManifestError, read
from sluice.local.program import Program
from sluice.local.servers import Servers
from sluice.local.specs import Manifests
from sluice.local.state import State
from sluice.preparation.prepare import prepare
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, Secrets, load_or_create
from sluice.settings import BusSettings
from sluice.topology import BUCKETS, CONSUMERS, STREAMS

WATCH_S: Final = 0.5
SERVER_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `sluice up` was asked for."""

    state: Path
    manifests: tuple[Path, ...]
    with_minio: bool = True
    with_triton: bool = True


@dataclass(slots=True, kw_only=True)
class Runtime:
    """All that runs, and what went wrong."""

    options: Options
    state: State
    secrets: Secrets
    plan: Servers
    values: dict[str, Any]
    parts: dict[str, Supervised] = field(default_factory=dict)
    manifests: Manifests = field(default_factory=Manifests)
    problems: tuple[str, ...] = ()
    cluster: Cluster | None = None


async def up(options: Options) -> None:
    """Run until SIGINT or SIGTERM; raises SettingsError, ManifestError or UnavailableError when it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    state = State(options.state)
    state.lock()
    for name in state.end_leftovers():
        print(f"ended {name}, left running by a runtime that was killed")
    runtime = _plan(options, state)
    async with AsyncExitStack() as stack:
        stack.callback(state.remove_runtime)
        starting = asyncio.create_task(_start(runtime, stack))
        ending = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            _greet(runtime)
            await _follow(runtime, stop)
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        print("stopping", flush=True)


def _plan(options: Options, state: State) -> Runtime:
    """Find out everything that can be wrong before anything is started."""
    secrets = load_or_create(state.folder / "secrets")
    plan = servers.plan(state, secrets, with_minio=options.with_minio, with_triton=options.with_triton)
    values = servers.values(plan, secrets)
    manifests = read(options.manifests, values)
    return Runtime(options=options, state=state, secrets=secrets, plan=plan, values=values, manifests=manifests)


async def _start(runtime: Runtime, stack: AsyncExitStack) -> None:
    plan, admin = runtime.plan, runtime.secrets.part("admin")
    await _serve(runtime, plan.nats, stack)
    if plan.minio:
        await _serve(runtime, plan.minio, stack)
    if plan.triton:
        await _start_triton(runtime, plan.triton, stack)
    await asyncio.to_thread(_prepare, runtime)
    client = await connect(plan.addresses["nats"], admin[NATS_USER], admin[NATS_PASSWORD])
    stack.push_async_callback(client.close)
    http = await stack.enter_async_context(_http())
    runtime.cluster = Cluster(runtime.state, client, http)
    stack.push_async_callback(runtime.cluster.stop)
    await runtime.cluster.apply(runtime.manifests)
    await runtime.cluster.open()
    await stack.enter_async_context(_admin(runtime, client.jetstream()))
    for replica in runtime.cluster.replicas():
        with suppress(TimeoutError):
            await asyncio.wait_for(replica.is_ready.wait(), SERVER_S)
    _write(runtime)


async def _serve(runtime: Runtime, program: Program, stack: AsyncExitStack, *, wait: bool = True) -> Supervised:
    server = runtime.parts[program.name] = Supervised(program, runtime.state)
    stack.push_async_callback(Running(program, server.run).stop)
    if wait:
        try:
            await asyncio.wait_for(server.is_ready.wait(), SERVER_S)
        except TimeoutError as error:
            raise UnavailableError(program.name, server.problem or f"not ready after {SERVER_S} s") from error
    return server


async def _start_triton(runtime: Runtime, program: Program, stack: AsyncExitStack) -> None:
    from sluice.local.triton import infers

    # Nobody waits for it: it needs seconds, and everything else works without it.
    triton = await _serve(runtime, program, stack, wait=False)
    check = partial(infers, runtime.plan.addresses["triton"])
    stack.push_async_callback(Running(program, lambda: servers.watch_triton(triton, check)).stop)


def _prepare(runtime: Runtime) -> None:
    nats_url, admin = runtime.plan.addresses["nats"], runtime.secrets.part("admin")
    if runtime.plan.minio:
        prepare(
            store_url=runtime.plan.addresses["s3"],
            region=servers.REGION,
            bucket=servers.BUCKET,
            nats_url=nats_url,
            secrets=runtime.secrets,
        )
        return
    bus = NatsBus(BusSettings(url=nats_url, user=admin[NATS_USER], password=admin[NATS_PASSWORD]), name="sluice up")
    bus.ensure(STREAMS, CONSUMERS, BUCKETS)
    bus.close()


@asynccontextmanager
async def _http() -> AsyncIterator[aiohttp.ClientSession]:
    """One client for all: it keeps connections open for less long (30 s) than our functions do (120 s)."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        yield session


@asynccontextmanager
async def _admin(runtime: Runtime, jetstream: Any) -> AsyncIterator[None]:
    """GET /status on loopback, for `sluice status`."""

    async def status(_request: web.Request) -> web.Response:
        pending = await _pending(runtime, jetstream)
        return web.json_response(describe(runtime) | {"pending": pending})

    app = web.Application()
    app.router.add_get("/status", status)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", runtime.state.port("admin")).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def _pending(runtime: Runtime, jetstream: Any) -> int | None:
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


async def _follow(runtime: Runtime, stop: asyncio.Event) -> None:
    """Look at the manifests twice a second; what is not whole is reported, and the last good ones stay."""
    assert runtime.cluster is not None  # noqa: S101 (it was started)
    seen, unfinished = _fingerprint(runtime.options.manifests), False
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WATCH_S)
            return
        now = await asyncio.to_thread(_fingerprint, runtime.options.manifests)
        if now == seen and not unfinished:
            continue
        seen, unfinished, found = now, False, tuple[str, ...]()
        try:
            wanted = await asyncio.to_thread(read, runtime.options.manifests, runtime.values)
            await runtime.cluster.apply(wanted)
            runtime.manifests = wanted
        except ManifestError as error:
            found = tuple(map(str, error.problems))
        except (UnavailableError, OSError) as error:
            found, unfinished = (str(error),), True
        _report(runtime, found)
        _write(runtime)


def _report(runtime: Runtime, found: tuple[str, ...]) -> None:
    if found != runtime.problems:
        print("\n".join(found) or "manifests are obeyed", flush=True)
    runtime.problems = found


def _fingerprint(folders: Sequence[Path]) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
        with suppress(FileNotFoundError):
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size))
    return found


def _write(runtime: Runtime) -> None:
    admin = f"http://127.0.0.1:{runtime.state.port('admin')}"
    addresses = runtime.cluster.addresses() if runtime.cluster else {}
    endpoints = {**runtime.plan.addresses, "admin": admin, **addresses}
    configmap = runtime.values["ConfigMap/sluice"]
    runtime.state.write_runtime({"ready": True, "endpoints": endpoints, "configmap": configmap})


def _greet(runtime: Runtime) -> None:
    for name, address in runtime.plan.addresses.items():
        print(f"{name:8} {address}")
    assert runtime.cluster is not None  # noqa: S101 (it was started)
    for group, those in runtime.cluster.addresses().items():
        for name, address in those.items():
            print(f"{group[:-1]:8} {name}: {address}")
    for notice in runtime.plan.notices:
        print(notice)
    print(
        f"ready; follow sluice.v1.> on NATS; logs in {runtime.state.folder / 'logs'}; Ctrl-C stops it all", flush=True
    )


def describe(runtime: Runtime) -> dict[str, Any]:
    """Everything that `sluice status` shows."""
    cluster = runtime.cluster
    assert cluster is not None  # noqa: S101 (it was started)
    everybody = [*runtime.parts.values(), *cluster.replicas()]
    parts = {
        each.program.name: {"phase": each.phase, "pid": each.pid, "restarts": each.restarts, "problem": each.problem}
        for each in everybody
    }
    triggers = {name: {**each.thing.counts, "problem": each.thing.problem} for name, each in cluster.triggers.items()}
    return {
        "parts": parts,
        "services": {name: each.describe() for name, each in cluster.services.items()},
        "triggers": triggers,
        "endpoints": {**runtime.plan.addresses, **cluster.addresses()},
        "skipped": list(runtime.manifests.skipped),
        "problems": list(runtime.problems),
        "notices": list(runtime.plan.notices),
    }
