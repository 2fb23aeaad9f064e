"""A source that does as it is told: packets of a real clip, failures and waits, without a network."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import av

from segmenter.pattern import pattern_clip
from segmenter.source import SourceError
from segmenter.tracks import AnyPacket

GONE = SourceError("ended", "the script is over", final=True)


@lru_cache(maxsize=1)
def clip() -> bytes:
    """Twelve seconds, a keyframe each second."""
    return pattern_clip(size=(64, 48), fps=25, gop=25, bf=0, seconds=12)


@dataclass(slots=True, kw_only=True, eq=False)
class Time:
    """A clock that moves when somebody waits."""

    now_s: float = 100.0
    waited: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Monotonic seconds."""
        return self.now_s

    def pause(self, stopped: threading.Event, seconds: float) -> bool:
        """As Event.wait."""
        self.waited.append(seconds)
        self.now_s += seconds
        return stopped.is_set()


class Played:
    """A connection that gives the clip's packets, each after *arrive* was asked."""

    transcoding = None
    segmented = False

    def __init__(self, arrive: Callable[[int], None] = lambda _: None, *, gather_s: float = 0.0) -> None:
        self.gather_s = gather_s
        self.container: Any = av.open(io.BytesIO(clip()))
        self.closed = False
        self._arrive = arrive

    def packets(self) -> Iterator[AnyPacket]:
        """All of the clip."""
        for number, packet in enumerate(self.container.demux(video=0)):
            if packet.size:
                self._arrive(number)
                yield packet

    def close(self) -> None:
        """As Connection has it."""
        self.closed = True
        self.container.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Of a container: none at all."""

    video: tuple[()] = ()
    audio: tuple[()] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trackless:
    """A container."""

    streams: Streams = field(default_factory=Streams)


class Script:
    """A source that does one thing after the other, then ends for good."""

    def __init__(self, *acts: Played | Exception | Callable[[], Played]) -> None:
        self._acts = list(acts)
        self.interrupted = threading.Event()

    def then(self, act: Played | Exception) -> None:
        """One more act."""
        self._acts.append(act)

    def open(self) -> Played:
        """The next act."""
        act = self._acts.pop(0) if self._acts else GONE
        if isinstance(act, Exception):
            raise act
        return act if isinstance(act, Played) else act()

    def interrupt(self) -> None:
        """As Source has it."""
        self.interrupted.set()


class Held(Played):
    """Plays until *stays* packets were read, then hangs until the source is interrupted, and says it was."""

    def __init__(self, source: "Hanging") -> None:
        super().__init__(self._arrive)
        self._source = source

    def _arrive(self, number: int) -> None:
        if number == self._source.stays:
            self._source.reached.set()
            assert self._source.interrupted.wait(60)
            raise SourceError("stopped", "interrupted")


class Hanging(Script):
    """A camera that sends for a while, then keeps its connection."""

    def __init__(self, stays: int = 150) -> None:
        super().__init__()
        self.stays = stays
        self.reached = threading.Event()

    def open(self) -> Played:
        """See Source."""
        return Held(self)
