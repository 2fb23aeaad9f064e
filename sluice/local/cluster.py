"""What the manifests ask for, running; `apply` makes it follow them."""

import asyncio
import contextlib
import http.client
import json
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web
from nats.aio.client import Client
from nats.errors import Error as NatsError

from sluice.errors import UnavailableError
from sluice.local.instances import Supervised
from sluice.local.knative.broker import Broker, ingress
from sluice.local.knative.delivery import Dispatcher
from sluice.local.knative.ping import ping_for_ever
from sluice.local.knative.revision import environment
from sluice.local.knative.service import Service
from sluice.local.manifests import specs
from sluice.local.manifests.specs import Destination, Manifests
from sluice.local.program import Program, accepts_connections
from sluice.local.state import State


class Running:
    """A thing with tasks of its own, and the spec that it was started for."""

    def __init__(self, spec: Any, *work: Callable[[], Any], thing: Any = None) -> None:
        self.spec, self.thing = spec, thing
        self._tasks = [asyncio.create_task(each()) for each in work]
        for task in self._tasks:
            task.add_done_callback(self._died)

    def _died(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            # A bug of ours: nothing that the tasks expect ends them.
            print(f"{self.spec}: {''.join(traceback.format_exception(error))}", flush=True)

    async def stop(self) -> None:
        """Cancel the tasks; each ends what it started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Cluster:
    """Brokers, Triggers, functions, workloads and pings, by name."""

    def __init__(self, state: State, client: Client, http_client: aiohttp.ClientSession) -> None:
        self.brokers: dict[str, Broker] = {}
        self.services: dict[str, Service] = {}
        self.triggers: dict[str, Running] = {}
        self.workloads: dict[str, Running] = {}
        self.pings: dict[str, Running] = {}
        self._state, self._client, self._http = state, client, http_client
        self._ingress_port = state.port("ingress")
        self._ingress = web.AppRunner(ingress(self.brokers), access_log=None)

    async def open(self) -> None:
        """Take events; after the first `apply`, so that none comes before its Triggers are known."""
        await self._ingress.setup()
        await web.TCPSite(self._ingress, "127.0.0.1", self._ingress_port).start()

    async def apply(self, wanted: Manifests) -> None:
        """Follow the manifests; may be called again after it failed half-way."""
        await asyncio.gather(*(self._apply_function(spec) for spec in wanted.functions.values()))
        await self._apply_brokers(wanted)
        for name, spec in wanted.workloads.items():
            if self._differs(self.workloads, name, spec):
                await self._end(self.workloads, name)
                self.workloads[name] = self._workload(spec)
        for name, ping in wanted.pings.items():
            if self._differs(self.pings, name, ping):
                await self._end(self.pings, name)
                self.pings[name] = Running(ping, partial(ping_for_ever, ping, self._http, self.locate))
        for running, kept in ((self.pings, wanted.pings), (self.workloads, wanted.workloads)):
            for name in set(running) - set(kept):
                await self._end(running, name)
        for name in set(self.services) - set(wanted.functions):
            await self.services.pop(name).stop()

    async def _apply_function(self, spec: specs.Function) -> None:
        service = self.services.get(spec.name)
        if service is None:
            service = Service(spec, self._state, self._http)
            await service.start()
            self.services[spec.name] = service
        elif service.spec != spec:
            service.update(spec)

    async def _apply_brokers(self, wanted: Manifests) -> None:
        try:
            for name, running in list(self.triggers.items()):
                now = wanted.triggers.get(name)
                if now is None or now.broker != running.spec.broker:
                    await self._end(self.triggers, name)
            for name, spec in wanted.brokers.items():
                broker = self.brokers.get(name) or Broker(spec, self._client)
                broker.spec = spec
                await broker.ensure()
                mine = [each for each in wanted.triggers.values() if each.broker == name]
                await broker.keep_consumers({each.name for each in mine})
                for each in mine:
                    await self._apply_trigger(each, broker)
                self.brokers[name] = broker
            for name in set(self.brokers) - set(wanted.brokers):
                await self.brokers.pop(name).delete()
        except (NatsError, TimeoutError) as error:
            raise UnavailableError("NATS", repr(error)) from error

    async def _apply_trigger(self, spec: specs.Trigger, broker: Broker) -> None:
        running = self.triggers.get(spec.name)
        if running:
            running.spec = running.thing.spec = spec
            return
        await broker.add_consumer(spec.name)
        dispatcher = Dispatcher(spec, broker, self._http, self.locate)
        self.triggers[spec.name] = Running(spec, dispatcher.run, thing=dispatcher)

    def _workload(self, spec: specs.Workload) -> Running:
        replicas = [Supervised(self._replica(spec, n), self._state, grace_s=spec.grace_s) for n in range(spec.replicas)]
        return Running(spec, *(each.run for each in replicas), thing=replicas)

    def _replica(self, spec: specs.Workload, number: int) -> Program:
        port = self._state.port(f"{spec.name}-{number}")
        given = {"HOSTNAME": f"{spec.name}-{number}"}
        if spec.sink:
            given |= {"K_SINK": self.locate(spec.sink), "K_CE_OVERRIDES": json.dumps({"extensions": {}})}
        name = spec.name if spec.replicas == 1 else f"{spec.name}-{number}"
        return Program(
            name=name,
            command=spec.command.argv,
            log=self._state.log(name),
            environment=environment(spec.command, port, **given),
            ready=lambda: not spec.command.listens or _answers(port, spec.command.ready_path),
        )

    def locate(self, destination: Destination) -> str:
        """The address on this machine; raises UnavailableError while there is none."""
        name, path = destination.name, destination.uri
        if destination.kind == "Broker":
            return f"http://127.0.0.1:{self._ingress_port}/{destination.namespace}/{name}{path}"
        if destination.kind == "ksvc" and name in self.services:
            return f"http://127.0.0.1:{self.services[name].port}{path}"
        if destination.kind == "Service" and name in self.workloads:
            return f"http://127.0.0.1:{self._state.port(f'{name}-0')}{path}"
        if destination.kind:
            raise UnavailableError(f"{destination.kind} {name}", "not running here")
        return destination.uri

    @staticmethod
    def _differs(running: Mapping[str, Running], name: str, spec: object) -> bool:
        return name not in running or running[name].spec != spec

    @staticmethod
    async def _end(running: dict[str, Running], name: str) -> None:
        if name in running:
            await running.pop(name).stop()

    async def stop(self) -> None:
        """In the order of the flow: no new events, then no deliveries, then the functions."""
        await self._ingress.cleanup()
        for running in (self.pings, self.triggers):
            await asyncio.gather(*(each.stop() for each in running.values()))
        await asyncio.gather(
            *(each.stop() for each in self.services.values()), *(each.stop() for each in self.workloads.values())
        )

    def addresses(self) -> dict[str, Any]:
        """For runtime.json."""
        brokers = {
            name: Destination(kind="Broker", name=name, namespace=each.spec.namespace)
            for name, each in self.brokers.items()
        }
        services = {name: Destination(kind="ksvc", name=name) for name in self.services}
        workloads = {name: Destination(kind="Service", name=name) for name in self.workloads}
        groups = {"brokers": brokers, "services": services, "workloads": workloads}
        return {group: {name: self.locate(each) for name, each in those.items()} for group, those in groups.items()}

    def replicas(self) -> Iterator[Supervised]:
        """Every process of a Deployment or StatefulSet."""
        for each in self.workloads.values():
            yield from each.thing

    async def pending(self) -> int:
        """Events that some Trigger is not done with."""
        return sum([await broker.pending() for broker in self.brokers.values()])


def _answers(port: int, path: str | None) -> bool:
    if path is None:
        return accepts_connections(port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
