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
MOST_MORE: Final = 8
"""Workers for parted cameras: where all die because the machine has no memory left, more of them make it worse."""
EMPTY_S: Final = 5.0
"""For a worker without cameras to end."""

log = logging.getLogger("segmenter.fleet")


class Fleet:
    """apply() the cameras that are wanted; called from one loop, and only end() waits."""

    def __init__(
        self,
        *,
        cameras_a_worker: int,
        told: Callable[[Message], None],
        died: Callable[[Mapping[str, Any], str], None],
        slot: Callable[..., Slot] = Slot,
    ) -> None:
        """*told* gets what workers say, *died* each report of a camera whose worker died and why."""
        self._most, self._slot = cameras_a_worker, slot
        self._told, self._died_of = told, died
        self._slots: list[Slot] = []
        self._ending: set[asyncio.Task[None]] = set()
        """Workers that no camera needs any longer."""
        self._numbers = 0
        self._alone: set[str] = set()
        """Cameras that crash their worker: no other shares it."""

    def apply(self, wanted: Mapping[str, Camera]) -> None:
        """Start, change and leave cameras; those that stay as they are notice nothing."""
        for slot in self._slots:
            for name in [each for each in slot.cameras if each not in wanted]:
                slot.take(name, "removed")
        self._alone &= set(wanted)
        for name, camera in wanted.items():
            slot = self._places().get(name) or self._room_for(name)
            if slot.cameras.get(name) != camera:
                slot.give(camera)
        self._end_empty()

    def leave_behind(self, name: str) -> None:
        """Drain the spool of a camera that is not wanted any more."""
        if name not in self._places():
            self._room_for(name).drain(name)

    def push(self, handover: Handover, sender: socket.socket) -> None:
        """Hand a connection to the camera's worker, with the ownership; raises UnavailableError."""
        slot = self._places().get(handover.camera)
        if slot is None:
            raise UnavailableError("segmenter", f"camera {handover.camera!r} has no worker yet")
        slot.push(handover, sender)

    async def end(self, *, grace_s: float) -> None:
        """Have every worker upload what is open, and end; no worker is left, whatever it does."""
        ends = [*(slot.end(grace_s=grace_s) for slot in self._slots), *self._ending]
        for each in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(each, Exception):
                log.error("a worker did not end as it should", exc_info=each)

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
        slot = self._slot(self._numbers, told=self._said, died=self._died)
        self._slots.append(slot)
        slot.start()
        return slot

    def _said(self, _: Slot, message: Message) -> None:
        if "left" in message:
            self._end_empty()
        else:
            self._told(message)

    def _end_empty(self) -> None:
        for slot in [each for each in self._slots if each.is_empty]:
            self._slots.remove(slot)
            task = asyncio.create_task(slot.end(grace_s=EMPTY_S))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _died(self, slot: Slot, reason: str) -> None:
        for name in slot.cameras:
            self._died_of(slot.reports.get(name, {"camera": name}), reason)
        slot.reports = {}
        if slot.recent_crashes >= SPLIT_AFTER:
            self._part(slot)

    def _part(self, slot: Slot) -> None:
        """Move half of the cameras elsewhere; nothing of theirs runs now, so nothing is interrupted."""
        names = sorted(slot.cameras)
        if len(names) <= 1:
            self._alone.update(names)
            return
        needed = -(-sum(len(each.cameras) for each in self._slots) // self._most)
        if len(self._slots) >= needed + MOST_MORE:
            log.warning("worker %d died %d times", slot.number, slot.recent_crashes)
            return
        log.warning("worker %d died %d times: its %d cameras are parted", slot.number, slot.recent_crashes, len(names))
        other = self._new_slot()
        for name in names[len(names) // 2 :]:
            other.cameras[name] = slot.cameras.pop(name)
        other.crashes.extend(slot.crashes)  # the next crash parts it again
