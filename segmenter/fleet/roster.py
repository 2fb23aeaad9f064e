"""Which cameras there are: the objects cameras/<camera>.json, their copy in NATS, and what this machine last knew.

The objects say what is. A change of the copy is a hint to list them at once, and counts by itself only while they
cannot be listed: an old copy starts nothing. A listing each minute heals what was missed, and writes the copy anew
where it differs. When both are gone the segmenter goes on with what it has, after a restart too.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sluice.bus import Bus
from sluice.cameras import InvalidCameraError, Loaded, decode, encode, load_all, mirror
from sluice.contracts.camera import Camera
from sluice.errors import InvalidNameError, SluiceError, UnavailableError
from sluice.keyvalue import KeyValueEntry
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
        self._told: dict[str, Camera] | None = None
        self._hinted: dict[str, Camera] = {}
        """Copies that came since the last listing began."""
        self._copied: set[str] = set()
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
        hinted = False
        while not self._ended:
            self._look.clear()
            try:
                wait_s = self._list(mending=not hinted)
            except Exception:  # a bug that one camera's object shows must not end the listing of all
                log.exception("cameras are not listed")
                wait_s = self._refresh_s
            hinted = self._look.wait(wait_s)

    def _list(self, *, mending: bool) -> float:
        """Returns the seconds until the next time."""
        with self._lock:
            decided = dict(self._hinted)
        try:
            self._loaded = load_all(self._store, self._loaded)
        except SluiceError as error:
            log.warning("cameras are not listed: %s", error)
            self._do_without()
            return min(RETRY_S, self._refresh_s) if self._loaded is None else self._refresh_s
        self._take(self._loaded, decided)
        if mending:
            self._mend_copy()
        return self._refresh_s

    def _take(self, loaded: Loaded, decided: Mapping[str, Camera]) -> None:
        self.problems = loaded.problems
        with self._lock:
            # What came while the objects were listed is decided by the next listing.
            self._hinted = {name: each for name, each in self._hinted.items() if decided.get(name) != each}
            kept = {name: self._cameras[name] for name in loaded.problems if name in self._cameras}
            self._set({**loaded.cameras, **kept})

    def _do_without(self) -> None:
        """What the process before knew, and what the copy says; the store may be gone for a while."""
        with self._lock:
            known = self._cameras if self.is_known else self._recalled()
            if known is not None or self._hinted:
                self._set({**(known or {}), **self._hinted})

    def _recalled(self) -> dict[str, Camera] | None:
        try:
            held = dict(json.loads(self._cache.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            log.warning("no cameras remembered: %s", error)
            return None
        cameras = {}
        for name, each in held.items():
            try:
                cameras[name] = decode(json.dumps(each).encode(), name=name)
            except (InvalidCameraError, InvalidNameError) as error:
                log.warning("a camera is not remembered: %s", error)
        return cameras

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
            except Exception:  # as above
                log.exception("cameras are not watched")
            time.sleep(RETRY_S)

    def _hint(self, entry: KeyValueEntry) -> None:
        try:
            camera = decode(entry.value, name=entry.key) if entry.value else None
        except (InvalidCameraError, InvalidNameError) as error:
            log.warning("the copy of a camera is ignored: %s", error)
            return
        with self._lock:
            self._copied.add(entry.key)
            if camera == self._cameras.get(entry.key):
                return
            if camera is None:  # a wiped copy takes no camera away: the objects decide
                self._hinted.pop(entry.key, None)
            else:
                self._hinted[entry.key] = camera
        self._look.set()

    def _set(self, cameras: dict[str, Camera]) -> None:
        if not self.is_known or cameras != self._cameras:
            self.is_known, self._cameras = True, cameras
            self._remember(cameras)
        if cameras != self._told:
            self._changed(dict(cameras))
            self._told = cameras  # not before: whoever failed to hear of them is told again

    def _remember(self, cameras: Mapping[str, Camera]) -> None:
        draft = self._cache.with_suffix(".part")
        try:
            body = json.dumps({name: json.loads(encode(each)) for name, each in cameras.items()})
            draft.unlink(missing_ok=True)
            # Sources hold passwords.
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(body)
            draft.replace(self._cache)
        except (OSError, SluiceError) as error:
            log.warning("cameras are not remembered: %s", error)

    def _mend_copy(self) -> None:
        """Asked of the copy itself: a bucket that was wiped tells no watcher."""
        with self._lock:
            cameras, named = self._cameras, sorted({*self._cameras, *self._copied} - set(self.problems))
        try:
            entries = self._bus.bucket(CAMERAS.name)
            differing = [name for name in named if not _says(entries.get(name), cameras.get(name))]
        except UnavailableError as error:
            log.warning("the copy of the cameras is not compared: %s", error)
            return
        for name in differing[:MOST_MENDED]:
            warning = mirror(self._store, self._bus, name)
            if warning:
                log.warning("%s", warning)
                return
        self._copied = {*cameras}


def _says(entry: KeyValueEntry | None, camera: Camera | None) -> bool:
    if entry is None or camera is None:
        return entry is None and camera is None
    try:
        return decode(entry.value or b"", name=camera.name) == camera
    except (InvalidCameraError, InvalidNameError):
        return False
