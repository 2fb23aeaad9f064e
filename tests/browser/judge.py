"""Somebody who reads a camera's playlists all the while, as its viewers do, and finds fault with them."""

import http.client
import re
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable

from tests.browser.others import strict
from tests.playlists import Refreshes

EVERY_S = 0.5


class Judge(threading.Thread):
    """Of one camera: the index, and each live playlist that it has ever named."""

    def __init__(self, root: str, camera: str) -> None:
        super().__init__(name=f"judge of {camera}", daemon=True)
        self._folder, self._lock, self._over = f"{root}/hls/{camera}", threading.Lock(), threading.Event()
        self._read = dict[str, None]()
        self.refreshes: defaultdict[str, Refreshes] = defaultdict(Refreshes)
        """By the playlist's name."""
        self.broken: list[str] = []
        """Rules."""

    def run(self) -> None:
        """Until it is stopped."""
        while not self._over.wait(EVERY_S):
            with self._lock:
                for named in re.findall(r"^live-\d+\.m3u8$", self._text("index.m3u8"), re.MULTILINE):
                    _ = self.refreshes[named]
                for name, refreshes in self.refreshes.items():
                    self._look(name, refreshes)

    def lose(self, name: str, delete: Callable[[], object]) -> None:
        """Have a playlist deleted: it may begin anew."""
        with self._lock:
            delete()
            self.refreshes[name].lose()

    def gaps(self, name: str) -> set[int]:
        """Numbers of a playlist that stand for no chunk."""
        with self._lock:
            return {each.number for each in self.refreshes[name].seen.values() if each.gap}

    def verdict(self) -> list[str]:
        """All that is wrong with what was read until now, by npm's parser, too."""
        with self._lock:
            texts = list(self._read)
        return [*self.broken, *filter(None, strict(texts))]

    def stop(self) -> None:
        """It has seen enough."""
        self._over.set()
        self.join()

    def _look(self, name: str, refreshes: Refreshes) -> None:
        text = self._text(name)
        if not text:
            return
        try:
            refreshes.see(text)
        except AssertionError as error:
            self.broken.append(f"{name}: {error}")

    def _text(self, name: str) -> str:
        """Empty while it is gone, or the gateway is."""
        try:
            with urllib.request.urlopen(f"{self._folder}/{name}", timeout=5) as answer:
                text: str = answer.read().decode()
        except (OSError, http.client.HTTPException):
            return ""
        self._read[text] = None
        return text
