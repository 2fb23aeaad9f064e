"""Which cameras there are: the objects cameras/<camera>.json, their copy in NATS, and what this machine last knew.

The objects say what is. A change of the copy is a hint that comes at once; a listing each minute heals what was
missed, and writes the copy anew where it differs. When both are gone the segmenter goes on with what it has, after a
restart too.
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sluice.bus import Bus, KeyValueEntry
from sluice.cameras import InvalidCameraError, Loaded, decode, encode, load_all, mirror
from sluice.contracts.camera import Camera
from sluice.errors import InvalidNameError, UnavailableError
from sluice.store import ObjectStore
from sluice.topology import CAMERAS

IDLE_S: Final = 5.0
RETRY_S: Final = 1.0
MOST_MENDED: Final = 100
"""Copies that are written anew in one round."""

log = logging.getLogger("segmenter.roster")


class Roster:
    """Two threads of its own; *changed* is called from them, with everything that is known."""

    def __init__(
        self,
        store: ObjectStore,
        bus: Bus,
        *,
        cache: Path,
        refresh_s: float,
        changed: Callable[[Mapping[str, Camera]], None],
    ) -> None:
        self.problems: Mapping[str, str] = {}
        """Cameras whose object cannot be read, and why; what was known of them stays."""
        self.is_known = False
        """Whether anybody has said yet which cameras there are."""
        self._store, self._bus, self._cache = store, bus, cache
        self._refresh_s, self._changed = refresh_s, changed
        self._lock = threading.Lock()
        self._cameras: dict[str, Camera] = {}
        self._copy: dict[str, Camera | None] = {}
        self._loaded: Loaded | None = None
        self._look = threading.Event()
        self._ended = False

    def start(self) -> None:
        """Begin to look."""
        for work in (self._list_for_ever, self._watch_for_ever):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._ended = True
        self._look.set()

    def camera(self, name: str) -> Camera | None:
        """What is known of one."""
        return self._cameras.get(name)

    def _list_for_ever(self) -> None:
        while not self._ended:
            self._look.clear()
            wait_s = self._refresh_s
            try:
                self._loaded = load_all(self._store, self._loaded)
                self._take(self._loaded)
                self._mend_copy()
            except UnavailableError as error:
                log.warning("cameras are not listed: %s", error)
                wait_s = min(RETRY_S, self._refresh_s) if self._loaded is None else self._refresh_s
                self._recall()
            self._look.wait(wait_s)

    def _take(self, loaded: Loaded) -> None:
        self.problems = loaded.problems
        with self._lock:
            kept = {name: self._cameras[name] for name in loaded.problems if name in self._cameras}
            self._set({**loaded.cameras, **kept})

    def _recall(self) -> None:
        """What the process before knew; the store may be gone for a while."""
        with self._lock:
            if self.is_known:
                return
            try:
                held = json.loads(self._cache.read_text("utf-8"))
                self._set({name: decode(json.dumps(each).encode(), name=name) for name, each in held.items()})
            except (OSError, ValueError, InvalidCameraError, InvalidNameError) as error:
                log.warning("no cameras remembered: %s", error)

    def _watch_for_ever(self) -> None:
        while not self._ended:
            try:
                for entry in self._bus.bucket(CAMERAS.name).watch(idle_s=IDLE_S):
                    if self._ended:
                        return
                    if entry is not None:
                        self._hint(entry)
            except UnavailableError as error:
                log.warning("cameras are not watched: %s", error)
                self._look.wait(RETRY_S)

    def _hint(self, entry: KeyValueEntry) -> None:
        try:
            camera = decode(entry.value, name=entry.key) if entry.value else None
        except (InvalidCameraError, InvalidNameError) as error:
            log.warning("the copy of a camera is ignored: %s", error)
            return
        with self._lock:
            self._copy[entry.key] = camera
            if camera is not None and self._cameras.get(entry.key) != camera:
                self._set({**self._cameras, entry.key: camera})
        if camera is None and entry.key in self._cameras:
            self._look.set()  # a wiped copy takes no camera away: the objects decide

    def _set(self, cameras: dict[str, Camera]) -> None:
        if self.is_known and cameras == self._cameras:
            return
        self.is_known, self._cameras = True, cameras
        self._remember(cameras)
        self._changed(dict(cameras))

    def _remember(self, cameras: Mapping[str, Camera]) -> None:
        draft = self._cache.with_suffix(".part")
        try:
            # Sources hold passwords.
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump({name: json.loads(encode(each)) for name, each in cameras.items()}, file)
            draft.replace(self._cache)
        except OSError as error:
            log.warning("cameras are not remembered: %s", error)

    def _mend_copy(self) -> None:
        with self._lock:
            named = {*self._cameras, *(name for name, each in self._copy.items() if each is not None)}
            differing = [name for name in sorted(named) if self._copy.get(name) != self._cameras.get(name)]
        for name in [each for each in differing if each not in self.problems][:MOST_MENDED]:
            warning = mirror(self._store, self._bus, name)
            if warning:
                log.warning("%s", warning)
                return
