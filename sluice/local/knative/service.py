"""A Knative Service: its own listener, and the revision that answers behind it."""

import asyncio
from typing import Any, Final

import aiohttp
from aiohttp import web
from yarl import URL

from sluice.errors import UnavailableError
from sluice.local.knative.revision import Revision, Seat
from sluice.local.manifests.specs import Function
from sluice.local.state import State

MAX_BODY_BYTES: Final = 64 << 20
_HOP_BY_HOP: Final = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Service:
    """Its address stays the same while revisions come and go."""

    def __init__(self, spec: Function, state: State, http: aiohttp.ClientSession) -> None:
        self.spec = spec
        self.port = state.port(f"service-{spec.name}")
        self.problem: str | None = None
        self._state, self._http = state, http
        self._count = 0
        self.revision = self._next(spec)
        self._scaling = asyncio.create_task(self.revision.scale_for_ever())
        self._rolling = asyncio.create_task(asyncio.sleep(0))
        self._retiring: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None

    def _next(self, spec: Function) -> Revision:
        self._count += 1
        return Revision(spec, f"{spec.name}-{self._count:05d}", self._state, self._http)

    async def start(self) -> None:
        """Listen; no instance is started before min-scale or a request asks for one."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    def update(self, spec: Function) -> None:
        """Roll over to a new revision in the background; one that was on its way is given up."""
        self.spec = spec
        self._rolling.cancel()
        self._rolling = asyncio.create_task(self._roll(self._next(spec)))

    async def _roll(self, new: Revision) -> None:
        """While an instance of the old one runs, the new one gets requests only once it is ready."""
        old = self.revision
        try:
            if old.seats:
                await new.warm()
        except UnavailableError as error:
            self.problem = f"{new.name} does not start, {old.name} stays: {error.reason}"
            return
        except asyncio.CancelledError:
            await new.stop()
            raise
        self._scaling.cancel()
        self.problem, self.revision = None, new
        self._scaling = asyncio.create_task(new.scale_for_ever())
        retiring = asyncio.create_task(old.retire())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def stop(self) -> None:
        """Take no more requests, answer those in flight, end every instance."""
        self._rolling.cancel()
        self._scaling.cancel()
        await asyncio.gather(self._rolling, self.revision.stop(), *self._retiring, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        revision = self.revision
        answer = web.StreamResponse()
        try:
            with revision.counted():
                async with asyncio.timeout(revision.spec.timeout_s):
                    seat = await revision.enter()
                    try:
                        await self._forward(request, body, seat, answer)
                    finally:
                        revision.leave(seat)
        except (aiohttp.ClientError, TimeoutError, UnavailableError) as error:
            if not answer.prepared:
                return _refusal(revision, error)
            # Its head is sent: only a broken connection tells that the rest is missing.
            if request.transport:
                request.transport.abort()
        return answer

    async def _forward(self, request: web.Request, body: bytes, seat: Seat, answer: web.StreamResponse) -> None:
        url = URL(f"http://127.0.0.1:{seat.port}{request.rel_url.raw_path_qs}", encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP]
        headers += [("X-Forwarded-For", request.remote or "127.0.0.1"), ("X-Forwarded-Proto", "http")]
        kept = [each for each in headers if each[0].lower() != "content-length"]
        async with self._http.request(
            request.method, url, data=body or None, headers=kept, allow_redirects=False, timeout=aiohttp.ClientTimeout()
        ) as upstream:
            answer.set_status(upstream.status, upstream.reason)
            for name, value in upstream.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    answer.headers.add(name, value)
            await answer.prepare(request)
            async for piece in upstream.content.iter_any():
                await answer.write(piece)
            await answer.write_eof()

    def describe(self) -> dict[str, Any]:
        """For `sluice status`."""
        revision = self.revision
        return {
            "revision": revision.name,
            "url": f"http://127.0.0.1:{self.port}",
            "instances": [seat.instance.pid for seat in revision.seats if seat.ready and not seat.leaving],
            "starting": sum(not seat.ready for seat in revision.seats),
            "requests": revision.load,
            "crashes": revision.crashes,
            "problem": self.problem or revision.problem,
        }


def _refusal(revision: Revision, error: Exception) -> web.Response:
    if isinstance(error, TimeoutError):
        return web.Response(status=504, text=f"request timeout: {revision.name} did not answer in time")
    status = 503 if isinstance(error, UnavailableError) else 502
    return web.Response(status=status, text=f"{revision.name}: {error!r}")
