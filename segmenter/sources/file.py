"""A film on disk played as a camera: at the speed of time, once or for ever without a seam."""

import stat
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error
import av.logging
from av.container import InputContainer

from segmenter.source import SourceError
from segmenter.sources.pace import Pace
from segmenter.sources.protocols import options
from segmenter.sources.refusals import broken, refused
from segmenter.sources.tracked import Chosen
from segmenter.tracks import AnyPacket
from sluice.address import SourceAddress
from sluice.errors import UnusableInputError

OPEN_S: Final = 10.0
OVERHANG_S: Final = 1
"""Sound this much longer than the picture still belongs to it."""


class FileSource:
    """One a camera."""

    def __init__(self, address: SourceAddress) -> None:
        """Raises UnusableInputError for a loop that is neither on nor off."""
        if address.options.get("loop", "0") not in ("0", "1"):
            raise UnusableInputError("loop=1 or loop=0", address.options["loop"][:40], "source")
        self._address = address
        self._stopped = threading.Event()

    def open(self) -> "FileConnection":
        """As Source has it."""
        container = _opened(self._address)
        try:
            return FileConnection(container, self._address, stopped=self._stopped)
        except SourceError:
            container.close()
            raise

    def interrupt(self) -> None:
        """As Source has it."""
        self._stopped.set()


class FileConnection:
    """A film that is open."""

    gather_s = 0.0
    transcoding: str | None = None

    def __init__(self, container: InputContainer, address: SourceAddress, *, stopped: threading.Event) -> None:
        """Raises SourceError when there is no picture in it; the container stays open then."""
        self._first, self._address, self._stopped = container, address, stopped
        self._chosen = Chosen(container, address)
        self._round = _Round(self._chosen)

    @property
    def container(self) -> Any:
        """As Connection has it."""
        return self._chosen

    def packets(self) -> Iterator[AnyPacket]:
        """As Connection has it."""
        pace = Pace(self._stopped.wait)
        for due_s, packet in self._unpaced():
            pace.keep(due_s)
            if self._stopped.is_set():
                raise SourceError("stopped", f"{self._address.shown}: no longer wanted")
            yield packet

    def close(self) -> None:
        """As Connection has it."""
        self._first.close()

    def _unpaced(self) -> Iterator[tuple[float, AnyPacket]]:
        yield from self._played(self._first, self._chosen)
        while self._address.options.get("loop") == "1":
            # Opened anew: not every format can be sought to its first packet. The first one stays open, as its streams
            # are in use.
            with _opened(self._address) as again:
                chosen = Chosen(again, self._address)
                if _facts(chosen) != _facts(self._chosen):
                    raise SourceError("ended", f"{self._address.shown}: the file is another one by now")
                self._round.again(chosen)
                yield from self._played(again, chosen)
        raise SourceError("ended", f"{self._address.shown}: played to its end; loop=1 plays it for ever", final=True)

    def _played(self, container: InputContainer, chosen: Chosen) -> Iterator[tuple[float, AnyPacket]]:
        streams = [each for each in (chosen.video, chosen.audio) if each is not None]
        try:
            for packet in container.demux(streams):
                due_s = self._round.placed(packet) if packet.size else None
                if due_s is not None:
                    yield due_s, packet
        except (av.error.FFmpegError, MemoryError) as error:
            raise broken(error, self._address) from error
        if self._round.frames == 0:
            raise SourceError("garbage", f"{self._address.shown}: expected a keyframe with a time, found none")


class _Round:
    """One time through the film, moved to begin where the one before ended; fractions only at its seams."""

    def __init__(self, chosen: Chosen) -> None:
        self.frames = 0
        self._chosen = chosen
        base = chosen.video.time_base
        self._sound_ratio = Fraction(1) if chosen.audio is None else Fraction(base / chosen.audio.time_base)
        self._tick_s, self._sound_tick_s = float(base), float(base / self._sound_ratio)
        self._shift = self._sound_shift = 0  # each in its track's ticks
        self._start: tuple[int, int] | None = None  # pts and dts of its first keyframe
        self._end = self._last_dts = 0
        self._sound_from = 0
        self._sound_end = -(1 << 62)

    def again(self, chosen: Chosen) -> None:
        """Begin once more."""
        if self._start is not None:
            pts, dts = self._start
            # The later of when the last picture was shown and when the next is decoded, so that time never steps back.
            self._shift += max(self._end - pts, self._last_dts + 1 - dts)
            self._sound_shift = round(self._shift * self._sound_ratio)
        self._chosen, self.frames, self._start = chosen, 0, None

    def placed(self, packet: AnyPacket) -> float | None:
        """Move the packet's times; when it is due, in seconds, or None when it is left out."""
        if packet.pts is None or packet.dts is None:
            return None
        if packet.stream_index != self._chosen.video.index:
            return self._sound(packet, packet.pts)
        if self._start is None:
            if not packet.is_keyframe:
                return None
            self._start = packet.pts, packet.dts
            self._sound_from = round(packet.pts * self._sound_ratio)
        if packet.pts < self._start[0]:
            return None  # it needs pictures that are not in the film
        step = packet.duration or (packet.dts - self._last_dts if self.frames else 1)
        self._end = max(self._end if self.frames else packet.pts, packet.pts + max(step, 1))
        self._last_dts = packet.dts
        self.frames += 1
        packet.pts, packet.dts = packet.pts + self._shift, packet.dts + self._shift
        return packet.dts * self._tick_s

    def _sound(self, packet: AnyPacket, pts: int) -> float | None:
        at_s, end_s = pts * self._sound_tick_s, self._end * self._tick_s
        if self._start is None or pts < self._sound_from or at_s > end_s + OVERHANG_S:
            return None
        lasts, moved = packet.duration or 0, pts + self._sound_shift
        if moved < self._sound_end - lasts // 2:
            return None  # the round before still sounds
        self._sound_end = moved + lasts
        packet.pts = packet.dts = moved
        return moved * self._sound_tick_s


def _opened(address: SourceAddress) -> InputContainer:
    av.logging.set_level(None)
    try:
        found = Path(address.url).stat()
        # A pipe would be waited for without end.
        if not stat.S_ISREG(found.st_mode):
            raise SourceError("garbage", f"{address.shown}: expected a file, found something else")
        return av.open(
            f"file:{address.url}",
            "r",
            options=options(address),
            timeout=(OPEN_S, None),
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, MemoryError, ValueError) as error:
        raise refused(error, address, allowed=OPEN_S) from error
    except FileNotFoundError as error:
        raise SourceError("not-found", f"{address.shown}: there is no such file") from error
    except OSError as error:
        raise SourceError("not-found", f"{address.shown}: it cannot be read ({error.strerror})") from error


def _facts(chosen: Chosen) -> tuple[object, ...]:
    return tuple(
        (each.index, each.time_base, each.codec_context.name, each.codec_context.extradata)
        for each in (chosen.video, chosen.audio)
        if each is not None and each.codec_context is not None
    )
