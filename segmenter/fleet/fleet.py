"""Which worker has which camera; the rule is pure, the rest follows it."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from segmenter.fleet.slot import Slot
from segmenter.fleet.wire import Message
from segmenter.ingest.handover import Handover
from sluice.contracts.camera import Camera
from sluice.errors import UnavailableError

SPLIT_AFTER: Final = 2
"""Crashes within a minute, then its cameras are parted: the one that is to blame is soon alone."""

log = logging.getLogger("segmenter.fleet")


class Fleet:
    """apply() the cameras that are wanted; called from one loop."""

    def __init__(
        self,
        *,
        cameras_a_worker: int,
        told: Callable[[Message], None],
        died: Callable[[Mapping[str, Any], str], None],
    ) -> None:
        """*told* gets what workers say, *died* each report of a camera whose worker died and why."""
        self._most = cameras_a_worker
        self._told, self._died_of = told, died
        self._slots: dict[Slot, asyncio.Task[None]] = {}
        self._numbers = 0
        self._alone: set[str] = set()
        """Cameras that crash their worker: no other shares it."""
        self._applying = asyncio.Lock()

    async def apply(self, wanted: Mapping[str, Camera]) -> None:
        """Start, change and leave cameras; those that stay as they are notice nothing."""
        async with self._applying:
            for name, slot in self._places().items():
                if name in slot.cameras and name not in wanted:
                    await slot.take(name, "removed")
            for name, camera in wanted.items():
                slot = self._places().get(name) or self._room_for(name)
                if slot.cameras.get(name) != camera:
                    await slot.give(camera)
            for slot in [each for each in self._slots if each.is_empty]:
                await slot.end(grace_s=2)
                await self._slots.pop(slot)

    async def leave_behind(self, name: str) -> None:
        """Drain the spool of a camera that is not wanted any more."""
        async with self._applying:
            if name not in self._places():
                await self._room_for(name).take(name, "removed")

    async def push(self, handover: Handover, sender: socket.socket) -> None:
        """Hand a connection to the camera's worker; raises UnavailableError."""
        slot = self._places().get(handover.camera)
        if slot is None:
            raise UnavailableError("segmenter", f"camera {handover.camera!r} has no worker yet")
        await slot.push(handover, sender)

    async def end(self, *, grace_s: float) -> None:
        """Have every worker upload what is open, and end."""
        async with self._applying:
            await asyncio.gather(*(slot.end(grace_s=grace_s) for slot in self._slots))
            await asyncio.gather(*self._slots.values())

    def reports(self) -> Iterator[dict[str, Any]]:
        """What is known of each camera now."""
        for slot in self._slots:
            yield from slot.reports.values()

    def workers(self) -> Iterator[tuple[int, int | None, int, int]]:
        """Number, process, cameras and crashes of each worker."""
        for slot in self._slots:
            yield slot.number, slot.pid, len(slot.cameras), len(slot.crashes)

    def _places(self) -> dict[str, Slot]:
        return {name: slot for slot in self._slots for name in (*slot.leaving, *slot.cameras)}

    def _room_for(self, name: str) -> Slot:
        for slot in self._slots:
            held = {*slot.cameras, *slot.leaving}
            if len(held) < self._most and name not in self._alone and not held & self._alone:
                return slot
        return self._new_slot()

    def _new_slot(self) -> Slot:
        self._numbers += 1
        slot = Slot(self._numbers, told=lambda _, message: self._told(message), died=self._died)
        self._slots[slot] = asyncio.create_task(slot.run())
        return slot

    def _died(self, slot: Slot, reason: str) -> None:
        for name in slot.cameras:
            self._died_of(slot.reports.get(name, {"camera": name}), reason)
        slot.reports = {}
        if slot.recent_crashes >= SPLIT_AFTER:
            self._part(slot)

    def _part(self, slot: Slot) -> None:
        """Move half of the cameras elsewhere; nothing of theirs runs now, so nothing is interrupted."""
        names = sorted(slot.cameras)
        if len(names) == 1:
            self._alone.add(names[0])
            return
        log.warning("worker %d died %d times: its %d cameras are parted", slot.number, slot.recent_crashes, len(names))
        other = self._new_slot()
        for name in names[len(names) // 2 :]:
            other.cameras[name] = slot.cameras.pop(name)
        other.crashes.extend(slot.crashes)  # the next crash parts it again
