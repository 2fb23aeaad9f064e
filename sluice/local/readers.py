"""Readers from outside, let in while we run: the bucket says who they are, NATS is told and never asked to restart."""

import asyncio
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sluice.bus import NatsBus
from sluice.errors import SluiceError
from sluice.local.cancellation import heed_cancellation
from sluice.local.nats import config_digest, reload_config
from sluice.local.servers import nats_config_file, write_nats_config
from sluice.preparation.access import ADMIN
from sluice.preparation.readers import Reader, load_all
from sluice.settings import BusSettings, StoreSettings
from sluice.settings import load_all as load_settings
from sluice.store import S3Store
from sluice.topology import CHUNKS, RESULTS

if TYPE_CHECKING:
    from sluice.local.runtime import Runtime

LOOK_S: Final = 30
"""How long one may be let in beyond his time, or wait for consumers that NATS lost."""


class Readers:
    """Keeps NATS' users and their consumers as the bucket says."""

    def __init__(self, runtime: "Runtime") -> None:
        self._runtime = runtime
        self._one_at_a_time = asyncio.Lock()
        self._loaded: tuple[str, str] | None = None
        """The file that NATS has read last, and its name for it."""
        self.problems: tuple[str, ...] = ()

    async def follow(self) -> None:
        """Look again and again, for ever; what could not be done is told once and tried again."""
        while True:
            heed_cancellation()
            try:
                await self.refresh()
            except SluiceError as error:
                self._note((str(error),))
            await asyncio.sleep(LOOK_S)

    async def refresh(self) -> int:
        """Let in who is to be let in now; returns how many. Raises SluiceError when the bucket or NATS is away."""
        async with self._one_at_a_time:
            wanted = await asyncio.to_thread(self._wanted)
            await asyncio.to_thread(self._tell_nats, wanted)
            await asyncio.to_thread(self._make_consumers, wanted)
        return len(wanted)

    def _wanted(self) -> tuple[Reader, ...]:
        environment = {**self._runtime.values["ConfigMap/sluice"], **self._runtime.secrets.part(ADMIN)}
        (settings,) = load_settings(StoreSettings, environ=environment)
        with closing(S3Store(settings)) as store:
            found = load_all(store)
        self._note(found.problems)
        now = datetime.now(UTC)
        return tuple(each for each in found.readers if not each.has_expired(now))

    def _tell_nats(self, wanted: tuple[Reader, ...]) -> None:
        users = tuple(each.nats_user() for each in wanted)
        server, monitor = self._runtime.parts[self._runtime.plan.nats.name], self._runtime.state.port("nats-monitor")
        # A signal to one that is not ready yet would end it; the file is what it reads then.
        pid = server.pid if server.is_ready.is_set() else None
        if self._loaded is None:
            # It has read the file as it was before we wrote any reader into it; one that is starting, who knows.
            self._loaded = self._file_and_digest(monitor) if pid else ("", "")
        write_nats_config(self._runtime.state, self._runtime.secrets, readers=users)
        # One that was started again has read the file already: to read it once more would only turn clients away.
        if pid and self._file_and_digest(monitor) != self._loaded:
            with suppress(ProcessLookupError):
                reload_config(pid, monitor_port=monitor)
            self._loaded = self._file_and_digest(monitor)

    def _file_and_digest(self, monitor_port: int) -> tuple[str, str]:
        return nats_config_file(self._runtime.state).read_text("utf-8"), config_digest(monitor_port=monitor_port)

    def _make_consumers(self, wanted: tuple[Reader, ...]) -> None:
        environment = {**self._runtime.values["ConfigMap/sluice"], **self._runtime.secrets.part(ADMIN)}
        (settings,) = load_settings(BusSettings, environ=environment)
        with closing(NatsBus(settings, name="sluice up")) as bus:
            bus.ensure([RESULTS, CHUNKS], [consumer for each in wanted for consumer in each.consumers], [])

    def _note(self, problems: tuple[str, ...]) -> None:
        if problems and problems != self.problems:
            print("\n".join(problems), flush=True)
        self.problems = problems
