"""A connection to NATS for callers on many threads: one event loop a process, every call bounded, renewed for ever."""

import asyncio
import logging
import os
import re
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from sluice.errors import UnavailableError
from sluice.settings import BusSettings

T = TypeVar("T")

RECONNECT_WAIT_S: Final = 0.25
PING_S: Final = 10
"""A connection whose other end vanished without a word is given up after three of these."""
_GRACE_S: Final = 1.0
_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a call works with while the connection lives; never kept, as its successor is another one."""

    client: Client
    js: Any


Work = Callable[[Link], Coroutine[Any, Any, T]]


@dataclass(slots=True, kw_only=True, eq=False)
class _Call:
    about: str
    task: asyncio.Task[Any] | None
    link: Link | None = None
    interrupted: str = ""


class _Background:
    """The event loop thread of this process, started at first use: a thread does not survive a fork."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="nats", daemon=True).start()
            return self._loop


_BACKGROUND: Final = _Background()


class Connection:
    """Runs work on the connection, which it makes when it is needed and makes anew when it was lost.

    nats-py's own reconnecting is switched off: it gives up for ever when the server closes a connection with a
    reason (a message over max_payload does), keeps what is published meanwhile in memory, and lets requests in
    flight wait out their time. Here a lost connection ends every call at once, and the next call connects.
    """

    def __init__(self, settings: BusSettings, *, name: str) -> None:
        self._settings = settings
        self._name = name
        self._where = urlsplit(settings.url).netloc.rpartition("@")[2] or settings.url
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def timeout_s(self) -> float:
        """The longest wait of a call."""
        return self._settings.timeout_s

    def call(self, work: Work[T], *, about: str, within_s: float | None = None) -> T:
        """Run *work* within a time; raises UnavailableError with the reason, at once when there is one.

        *about* is a run of tokens of the subjects that the work publishes to: by it a refusal by the server, which
        comes without any reference, finds the call that it belongs to.
        """
        limit_s = self._settings.timeout_s if within_s is None else within_s
        future = asyncio.run_coroutine_threadsafe(self._bounded(work, about, limit_s), _BACKGROUND.loop())
        try:
            return future.result(limit_s + _GRACE_S)
        except TimeoutError as error:
            future.cancel()
            raise UnavailableError("nats", f"{about}: nothing at all happened within {limit_s:g} s") from error

    def close(self) -> None:
        """Disconnect; calls in flight end, and a later call connects anew."""
        if self._loop is None or self._loop is not _BACKGROUND.loop():
            return
        future = asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop)
        try:
            future.result(self._settings.timeout_s)
        except TimeoutError:
            future.cancel()

    async def _bounded(self, work: Work[T], about: str, limit_s: float) -> T:
        self._adopt(asyncio.get_running_loop())
        call = _Call(about=about, task=asyncio.current_task())
        self._calls.add(call)
        try:
            async with asyncio.timeout(limit_s):
                call.link = await self._linked()
                return await work(call.link)
        except asyncio.CancelledError as error:
            if not call.interrupted:
                raise
            raise UnavailableError("nats", f"{about}: {call.interrupted}") from error
        except TimeoutError as error:
            what = "no answer" if call.link else f"no connection to {self._where}"
            why = f": {self._trouble}" if self._trouble else ""
            raise UnavailableError("nats", f"{about}: {what} within {limit_s:g} s{why}") from error
        except (NatsError, OSError) as error:
            raise UnavailableError("nats", f"{about}: {reason(error)}") from error
        finally:
            self._calls.discard(call)

    def _adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start afresh on a new loop: what was made before a fork belongs to the parent."""
        if self._loop is loop:
            return
        self._loop = loop
        self._opening = asyncio.Lock()
        self._link: Link | None = None
        self._calls: set[_Call] = set()
        self._trouble = ""

    async def _linked(self) -> Link:
        async with self._opening:
            if self._link is None or not self._link.client.is_connected:
                self._link = await self._open()
            return self._link

    async def _open(self) -> Link:
        try:
            client = await self._dial()
        except (NatsError, ConnectionError) as error:
            if isinstance(error, TimeoutError):
                raise
            # A server that reads its users anew turns away whoever is about to connect, whatever his password.
            await asyncio.sleep(RECONNECT_WAIT_S)
            client = await self._dial()
        self._trouble = ""
        _LOG.info("nats: connected to %s", self._where)
        return Link(client=client, js=client.jetstream(timeout=self._settings.timeout_s))

    async def _dial(self) -> Client:
        client = Client()

        async def failed(error: Exception) -> None:
            self._note(client, reason(error))

        async def closed() -> None:
            self._interrupt(client, "connection lost")

        user = self._settings.user
        try:
            await client.connect(
                self._settings.url,
                name=self._name,
                user=user or None,
                password=self._settings.password or None,
                inbox_prefix=f"_INBOX.{user}" if user else "_INBOX",
                connect_timeout=min(2.0, self._settings.timeout_s),
                max_reconnect_attempts=-1,  # go on trying to connect until the caller's time is over
                reconnect_time_wait=RECONNECT_WAIT_S,
                allow_reconnect=False,  # but see the class: a lost connection is replaced, not revived
                ping_interval=PING_S,
                error_cb=failed,
                closed_cb=closed,
            )
        finally:
            if not client.is_connected:  # refused, or cancelled half-way with its socket open
                await client.close()
        return client

    async def _disconnect(self) -> None:
        if self._link:
            await self._link.client.close()

    def _note(self, client: Client, trouble: str) -> None:
        if trouble != self._trouble:  # an absent server is tried four times a second
            _LOG.warning("nats: %s: %s", self._where, trouble)
            self._trouble = trouble
        denied = _DENIED.search(trouble)
        if denied:
            self._interrupt(client, trouble, None if denied[1] == "subscription" else denied[2])

    def _interrupt(self, client: Client, why: str, subject: str | None = None) -> None:
        """End the calls on *client*, or those about *subject*; nats-py hands refusals on in lower case."""
        for call in tuple(self._calls):
            mine = call.link is not None and call.link.client is client
            if mine and call.task and (subject is None or f".{call.about.lower()}." in f".{subject}."):
                call.interrupted = why
                call.task.cancel()


def reason(error: BaseException) -> str:
    """What the server or the library says, in one line."""
    said = getattr(error, "description", None) or str(error) or type(error).__name__
    return str(said).removeprefix("nats: ").strip()
