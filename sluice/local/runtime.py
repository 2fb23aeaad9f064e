"""`sluice up`: the servers, then what the manifests ask for, until a signal ends it all in order."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp

from sluice.bus import NatsBus
from sluice.errors import SettingsError, UnavailableError
from sluice.local import servers, status
from sluice.local.cluster import Cluster, Running
from sluice.local.instances import Supervised
from sluice.local.knative.connection import connect
from sluice.local.manifests.reader import read
from sluice.local.manifests.specs import Manifests
from sluice.local.program import Program
from sluice.local.readers import Readers
from sluice.local.servers import Servers
from sluice.local.state import State
from sluice.local.watch import follow
from sluice.preparation.prepare import prepare
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, Secrets, load_or_create
from sluice.settings import BusSettings
from sluice.topology import BUCKETS, CONSUMERS, STREAMS

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
    """All that runs, and what is wrong."""

    options: Options
    state: State
    secrets: Secrets
    plan: Servers
    values: Mapping[str, Mapping[str, str]]
    manifests: Manifests
    parts: dict[str, Supervised] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    cluster: Cluster | None = None
    readers: Readers | None = None
    """None without a bucket, which says who they are."""

    async def apply(self, wanted: Manifests) -> None:
        """Follow the manifests, and tell everybody where things are now."""
        assert self.cluster is not None  # noqa: S101 (it was started)
        await self.cluster.apply(wanted)
        self.manifests = wanted
        self.tell(ready=True)

    def tell(self, *, ready: bool) -> None:
        """Write runtime.json."""
        admin = f"http://127.0.0.1:{self.state.port('admin')}"
        endpoints = {**self.plan.addresses, "admin": admin, **(self.cluster.addresses() if self.cluster else {})}
        facts = {"ready": ready, "endpoints": endpoints, "configmap": self.values["ConfigMap/sluice"]}
        self.state.write_runtime(facts)

    async def serve(self, program: Program, stack: AsyncExitStack) -> Supervised:
        """Keep a server running until *stack* unwinds; does not wait until it is ready."""
        server = self.parts[program.name] = Supervised(program, self.state)
        stack.push_async_callback(Running(program.name, server.run).stop)
        return server


async def up(options: Options) -> None:
    """Run until SIGINT or SIGTERM; raises SettingsError, ManifestError or UnavailableError when it cannot start."""
    state = State(options.state)
    state.lock()
    for name in state.end_leftovers():
        print(f"ended {name}, left running by a runtime that was killed")
    runtime = _planned(options, state)
    _end_on_signal()
    with suppress(asyncio.CancelledError):
        async with AsyncExitStack() as stack:
            stack.callback(state.remove_runtime)
            runtime.tell(ready=False)
            await _start(runtime, stack)
            _greet(runtime)
            stack.callback(print, "stopping", flush=True)
            await follow(runtime)


def _end_on_signal() -> None:
    work = asyncio.current_task()
    assert work is not None  # noqa: S101 (it calls us)

    def end() -> None:
        # A second Ctrl-C must not break the orderly end that the first one began.
        if not work.cancelling():
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)


def _planned(options: Options, state: State) -> Runtime:
    """Find out all that can be wrong before anything is started."""
    absent = [str(folder) for folder in options.manifests if not folder.is_dir()]
    if absent:
        raise SettingsError((f"no folder of manifests: {', '.join(absent)}",))
    secrets = load_or_create(state.folder / "secrets")
    values = servers.values(servers.addresses(state), secrets, options.manifests)
    manifests = read(options.manifests, values)
    plan = servers.plan(state, secrets, with_minio=options.with_minio, with_triton=options.with_triton)
    return Runtime(options=options, state=state, secrets=secrets, plan=plan, values=values, manifests=manifests)


async def _start(runtime: Runtime, stack: AsyncExitStack) -> None:
    plan, admin = runtime.plan, runtime.secrets.part("admin")
    needed = [await runtime.serve(each, stack) for each in (plan.nats, plan.minio) if each]
    for server in needed:
        await _wait(server)
    if plan.triton:
        await _start_triton(runtime, plan.triton, stack)
    await asyncio.to_thread(_prepare, runtime)
    if plan.minio:
        runtime.readers = Readers(runtime)
        stack.push_async_callback(Running("readers", runtime.readers.follow).stop)
    client = await connect(plan.addresses["nats"], admin[NATS_USER], admin[NATS_PASSWORD])
    stack.push_async_callback(client.close)
    http = await stack.enter_async_context(_http())
    runtime.cluster = Cluster(runtime.state, client, http)
    stack.push_async_callback(runtime.cluster.stop)
    await runtime.cluster.apply(runtime.manifests)
    await runtime.cluster.open()
    await stack.enter_async_context(status.served(runtime, client.jetstream()))
    for replica in runtime.cluster.replicas():
        # Whoever does not start is reported, and no reason to stop the others.
        with suppress(UnavailableError):
            await _wait(replica)
    runtime.tell(ready=True)


async def _wait(server: Supervised) -> None:
    try:
        await asyncio.wait_for(server.is_ready.wait(), SERVER_S)
    except TimeoutError as error:
        raise UnavailableError(server.program.name, server.problem or f"not ready after {SERVER_S} s") from error


async def _start_triton(runtime: Runtime, program: Program, stack: AsyncExitStack) -> None:
    from sluice.local.triton import forget_shared_memory, infers  # it brings numpy along

    stack.callback(forget_shared_memory, runtime.state.folder / "data" / "models")
    # Nobody waits for it: it needs seconds, and everything else works without it.
    triton = await runtime.serve(program, stack)
    check = partial(infers, runtime.plan.addresses["triton"])
    stack.push_async_callback(Running(program.name, partial(servers.watch_triton, triton, check)).stop)


def _prepare(runtime: Runtime) -> None:
    nats_url, secrets = runtime.plan.addresses["nats"], runtime.secrets
    if runtime.plan.minio:
        store = {"store_url": runtime.plan.addresses["s3"], "region": servers.REGION, "bucket": servers.BUCKET}
        prepare(**store, nats_url=nats_url, secrets=secrets, dry_run=False, show=print)
        return
    admin = secrets.part("admin")
    bus = NatsBus(BusSettings(url=nats_url, user=admin[NATS_USER], password=admin[NATS_PASSWORD]), name="sluice up")
    bus.ensure(STREAMS, CONSUMERS, BUCKETS)
    bus.close()


def _http() -> aiohttp.ClientSession:
    """One client for all; it drops idle connections after 30 s, long before our functions do (120 s)."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )


def _greet(runtime: Runtime) -> None:
    for name, address in runtime.plan.addresses.items():
        print(f"{name:14}{address}")
    for group, those in (runtime.cluster.addresses() if runtime.cluster else {}).items():
        for name, address in those.items():
            print(f"{group[:-1]:14}{name} at {address}")
    for notice in runtime.plan.notices:
        print(notice)
    print(f"ready: results come on sluice.v1.>, logs are in {runtime.state.folder / 'logs'}; Ctrl-C stops it all")
    # Written to a log by --detach, which waits for it.
    print(end="", flush=True)
