"""One version of a function: its instances, scaled from zero, and the requests that wait for one of them."""

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from sluice.errors import UnavailableError
from sluice.local.instances import Backoff, Instance
from sluice.local.knative.autoscaler import TICK_S, Autoscaler
from sluice.local.manifests.specs import Command, Function
from sluice.local.program import Program, accepts_connections, free_port
from sluice.local.state import State

QUEUE: Final = 10_000
"""Requests that wait for an instance; Knative's activator holds as many."""
START_S: Final = 60
UNLIMITED_HERE: Final = 4 * (os.cpu_count() or 1)
"""Instances at most where max-scale sets no limit: one machine has one."""


def environment(command: Command, port: int, **given: str) -> dict[str, str]:
    """What the platform gives to every container, and what its manifest asks for."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    python = {"PATH": path, "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path(__file__).parent.parent.parent))}
    return {**python, **command.environment, "PORT": str(port), "SLUICE_HOST": "127.0.0.1", **given}


@dataclass(slots=True, kw_only=True, eq=False)
class Seat:
    """An instance as the router sees it."""

    instance: Instance
    port: int
    in_flight: int = 0
    ready: bool = False
    leaving: bool = False


class Revision:
    """Takes requests from `enter` to `leave`; `scale_for_ever` adds and removes instances."""

    def __init__(self, spec: Function, name: str, state: State, http: aiohttp.ClientSession) -> None:
        self.spec, self.name = spec, name
        self.seats: list[Seat] = []
        self.problem: str | None = None
        self.crashes = 0
        self.load = 0
        self._state, self._http = state, http
        self._waiting: deque[asyncio.Future[Seat]] = deque()
        self._autoscaler = Autoscaler(scale=spec.scale, limit=spec.scale.maximum or UNLIMITED_HERE)
        self._backoff, self._blocked_until = Backoff(), 0.0
        self._area, self._since = 0.0, time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """A request from its arrival to its answer: what the autoscaler sees."""
        self._measure(+1)
        try:
            yield
        finally:
            self._measure(-1)

    def _measure(self, change: int) -> float:
        now = time.monotonic()
        self._area += self.load * (now - self._since)
        self._since = now
        self.load += change
        return self._area

    async def enter(self) -> Seat:
        """A place in the least busy instance; starts one if there is none. Raises UnavailableError."""
        free = self._free()
        if free is not None and not self._waiting:
            free.in_flight += 1
            return free
        if len(self._waiting) >= QUEUE:
            raise UnavailableError(self.name, f"{QUEUE} requests wait already")
        wait_s = self._blocked_until - time.monotonic()
        if not self.staying and wait_s > 0:
            raise UnavailableError(self.name, f"crashes at its start, tried again in {wait_s:.1f} s: {self.problem}")
        place: asyncio.Future[Seat] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if not self.staying:
            self.start_one()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(place.result())
            raise

    def leave(self, seat: Seat) -> None:
        """The request is answered; the place goes to who waits longest."""
        seat.in_flight -= 1
        self._hand_over()

    def _free(self) -> Seat | None:
        limit = self.spec.concurrency or QUEUE
        able = [seat for seat in self.seats if seat.ready and not seat.leaving and seat.in_flight < limit]
        return min(able, key=lambda seat: seat.in_flight, default=None)

    def _hand_over(self) -> None:
        while self._waiting and (seat := self._free()) is not None:
            place = self._waiting.popleft()
            if not place.done():
                seat.in_flight += 1
                place.set_result(seat)

    @property
    def staying(self) -> list[Seat]:
        """Instances that take requests, or will."""
        return [seat for seat in self.seats if not seat.leaving]

    def start_one(self) -> None:
        """Start an instance; it takes requests once it is ready."""
        port = free_port()
        given = {"K_SERVICE": self.spec.name, "K_CONFIGURATION": self.spec.name, "K_REVISION": self.name}
        wanted = Program(
            name=self.spec.name,
            command=self.spec.command.argv,
            log=self._state.log(self.spec.name),
            environment=environment(self.spec.command, port, **given),
            ready=lambda: accepts_connections(port),
        )
        try:
            seat = Seat(instance=Instance(wanted, self._state), port=port)
        except UnavailableError as error:
            self._crashed(error.reason, after_s=0)
            return
        self.seats.append(seat)
        self._spawn(self._live(seat))

    async def _live(self, seat: Seat) -> None:
        try:
            await seat.instance.ready(timeout_s=START_S, probe=lambda: self._is_ready(seat))
            seat.ready = True
            self._hand_over()
            status = await seat.instance.ended()
            reason = f"exited with {status}"
        except UnavailableError as error:
            reason = error.reason
            await seat.instance.stop(grace_s=2)
        self.seats.remove(seat)
        if not seat.leaving:
            self._crashed(reason, after_s=seat.instance.age_s)

    def _crashed(self, reason: str, *, after_s: float) -> None:
        self.problem, self.crashes = reason, self.crashes + 1
        self._blocked_until = time.monotonic() + self._backoff.crashed(after_s=after_s)
        print(f"{self.name}: {reason}", flush=True)
        if self.staying:
            return
        # Nobody is left to answer: the Broker tries again, and its dead letter will say why.
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(UnavailableError(self.name, reason))

    async def _is_ready(self, seat: Seat) -> bool:
        if self.spec.command.ready_path is None:
            return accepts_connections(seat.port)
        url = f"http://127.0.0.1:{seat.port}{self.spec.command.ready_path}"
        try:
            async with self._http.get(url, timeout=aiohttp.ClientTimeout(total=1)) as answer:
                return answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def warm(self) -> None:
        """Start an instance and wait until it is ready; raises UnavailableError when it will not be."""
        self.start_one()
        while not any(seat.ready for seat in self.seats):
            if not self.seats:
                raise UnavailableError(self.name, self.problem or "ended at its start")
            await asyncio.sleep(0.02)

    async def scale_for_ever(self) -> None:
        """Once a tick: as many instances as the load asks for."""
        for _ in range(self.spec.scale.minimum - len(self.seats)):
            self.start_one()
        while True:
            before, began = self._measure(0), time.monotonic()
            await asyncio.sleep(TICK_S)
            wanted = self._autoscaler.decide((self._measure(0) - before) / (time.monotonic() - began))
            staying = self.staying
            for _ in range(wanted - len(staying) if time.monotonic() >= self._blocked_until else 0):
                self.start_one()
            # The idlest goes first, and among equals the youngest.
            idle_first = sorted(staying, key=lambda seat: (seat.in_flight, seat.instance.age_s))
            for seat in idle_first[: max(len(staying) - wanted, 0)]:
                seat.leaving = True
                self._spawn(self._dismiss(seat))

    async def _dismiss(self, seat: Seat) -> None:
        """No new requests; those in flight end; then SIGTERM: the order in which Knative's pods go."""
        seat.leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.spec.timeout_s):
                while seat.in_flight:
                    await asyncio.sleep(0.02)
        await seat.instance.stop(grace_s=self.spec.timeout_s)

    async def retire(self) -> None:
        """Answer what came in, then end every instance."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.spec.timeout_s):
                while self.load:
                    await asyncio.sleep(0.02)
        await self.stop()

    async def stop(self) -> None:
        """End every instance once its requests in flight are answered."""
        await asyncio.gather(*(self._dismiss(seat) for seat in self.seats))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
