"""Clips of the test pattern: what can be asked for, and one copy in memory for all cameras that ask for the same."""

import io
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, Final
from weakref import WeakValueDictionary

from segmenter.source import SourceError
from segmenter.tracks import AnyPacket
from sluice.errors import UnusableInputError

CODECS: Final = {"h264": "h264", "h265": "hevc", "mjpeg": ""}
"""And the name under which its packets can be numbered."""
SIDE: Final = range(16, 3841)
LIVE_SIDES: Final = (320, 180)
"""A smaller picture cannot show the clock."""
CLIP_S: Final = 8
PIXELS_MOST: Final = 2_000_000_000
"""In one clip; encoding more takes a core for a minute."""
ENCODING_MOST_S: Final = 120.0
SOUND_LOOP: Final = 75
"""Packets of AAC that hold 704 whole waves of 440 Hz: the tone goes on where they begin again."""
_SOUND_FIRST: Final = 8
"""The encoder has settled by then."""
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_BOUNDS: Final = {"fps": (25, 1, 60), "gop": (50, 1, 1500), "bf": (2, 0, 4), "audio": (1, 0, 1), "live": (0, 0, 1)}
"""Default, least and most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What the URL asks for."""

    size: tuple[int, int]
    codec: str
    fps: int
    gop: int
    bf: int
    audio: bool
    live: bool

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "Pattern":
        """Read a URL's options; raises UnusableInputError for what is unknown or out of bounds."""
        known = sorted(("size", "codec", *_BOUNDS))
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise UnusableInputError(f"options among {', '.join(known)}", ", ".join(unknown), "test pattern")
        codec = options.get("codec", "h264")
        if codec not in CODECS:
            raise UnusableInputError(f"codec among {', '.join(CODECS)}", codec, "test pattern")
        numbers = {name: _number(name, options) for name in _BOUNDS}
        if codec == "mjpeg":
            numbers |= {"gop": 1, "bf": 0}
        live = bool(numbers.pop("live"))
        audio = bool(numbers.pop("audio"))
        size = _size(options.get("size", "1280x720"), live=live)
        pattern = cls(size=size, codec=codec, audio=audio, live=live, **numbers)
        if not live and pattern.frames * size[0] * size[1] > PIXELS_MOST:
            expected = f"a clip of at most {PIXELS_MOST // 1_000_000} million pixels: a shorter gop or smaller size"
            raise UnusableInputError(expected, f"{pattern.frames} frames", "test pattern")
        return pattern

    @property
    def frames(self) -> int:
        """Length of the clip: whole GOPs."""
        return -(-CLIP_S * self.fps // self.gop) * self.gop

    def drawing(self, *more: str) -> list[str]:
        """The command that draws it."""
        width, height = self.size
        numbers = {"width": width, "height": height, "fps": self.fps, "gop": self.gop, "bf": self.bf}
        asked = [f"--{name}={number}" for name, number in (numbers | {"frames": self.frames}).items()]
        sound = ["--audio"] if self.audio else []
        return [sys.executable, "-m", "segmenter.sources.drawing", f"--codec={self.codec}", *asked, *sound, *more]


def _number(name: str, options: Mapping[str, str]) -> int:
    usual, least, most = _BOUNDS[name]
    text = options.get(name, str(usual))
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not least <= number <= most:
        raise UnusableInputError(f"{name} from {least} to {most}", text[:40], "test pattern")
    return number


def _size(text: str, *, live: bool) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    least = LIVE_SIDES if live else (SIDE.start, SIDE.start)
    if width not in SIDE or height not in SIDE or width % 2 or height % 2 or width < least[0] or height < least[1]:
        expected = f"size as WIDTHxHEIGHT, even, from {least[0]}x{least[1]} to {SIDE[-1]}x{SIDE[-1]}"
        raise UnusableInputError(expected, text[:40], "test pattern")
    return width, height


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A packet of the clip."""

    body: "memoryview[int]"
    shown: int
    """Its place among the clip's pictures in the order in which they are shown."""
    keyframe: bool


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Clip:
    """A file and its packets, which are views of it."""

    file: bytes
    codec: str
    pictures: tuple[Picture, ...]
    """In decoding order."""
    reorder: int
    """How many frames later than decoded each is shown, so that none is shown before."""
    sound: tuple["memoryview[int]", ...]
    sound_samples: int = 1024

    @classmethod
    def of(cls, file: bytes, codec: str) -> "Clip":
        """Find the packets of an mp4."""
        whole = memoryview(file)
        with _opened(file) as container:
            found: dict[str, list[Any]] = {"video": [], "audio": []}
            for packet in container.demux():
                if packet.size and packet.pos is not None:
                    found[packet.stream.type].append(packet)
            ranks = {pts: rank for rank, pts in enumerate(sorted(each.pts for each in found["video"]))}
            views = {name: [whole[each.pos : each.pos + each.size] for each in found[name]] for name in found}
            pictures = tuple(
                Picture(body=view, shown=ranks[each.pts], keyframe=each.is_keyframe)
                for each, view in zip(found["video"], views["video"], strict=True)
            )
        sound = views["audio"][_SOUND_FIRST:][:SOUND_LOOP]
        reorder = max(at - each.shown for at, each in enumerate(pictures))
        return cls(file=file, codec=codec, pictures=pictures, reorder=reorder, sound=tuple(sound))

    def opened(self) -> Any:
        """A container of its tracks; the file is not copied."""
        return _opened(self.file)


def _opened(file: bytes) -> Any:
    import av

    return av.open(io.BytesIO(file), "r")


_clips: "WeakValueDictionary[Pattern, Clip]" = WeakValueDictionary()
_encoding = Lock()
"""One at a time: cameras that start together mostly want the same clip."""


class Drawn:
    """What a process of its own draws for one camera."""

    def __init__(self, pattern: Pattern, over: Event) -> None:
        self._pattern, self._over = pattern, over
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._clip: Clip | None = None

    def clip(self) -> Clip:
        """The clip; encoded now if no other camera of this process has it."""
        while not _encoding.acquire(timeout=0.2):
            if self._over.is_set():
                raise SourceError("stopped", "interrupted")
        try:
            self._clip = _clips.get(self._pattern)
            if self._clip is None:
                self._clip = Clip.of(self._encoded(), CODECS[self._pattern.codec])
                _clips[self._pattern] = self._clip
        finally:
            _encoding.release()
        return self._clip

    def live(self, first: int) -> Any:
        """A container that the process fills as time goes by."""
        import av

        process = self._started("--live", f"--first={first}")
        if process.stdout is None:
            raise AssertionError("it was started with a pipe")
        try:
            return av.open(f"pipe:{process.stdout.fileno()}", "r", options={"probesize": "500000"})
        except av.error.FFmpegError as error:
            raise self._failed(str(error)) from error

    def packets(self, container: Any) -> Iterator[AnyPacket]:
        """What is drawn, until it ends."""
        import av

        try:
            yield from container.demux()
        except av.error.FFmpegError as error:
            raise self._failed(str(error)) from error
        if not self._over.is_set():
            raise self._failed("it ended")

    def stop(self) -> None:
        """End the process, if there is one."""
        with self._guard:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _encoded(self) -> bytes:
        process = self._started()
        try:
            file, _ = process.communicate(timeout=ENCODING_MOST_S)
        except subprocess.TimeoutExpired as error:
            raise SourceError("silent", f"no test pattern within {ENCODING_MOST_S:.0f} s") from error
        finally:
            self.stop()
        if process.returncode:
            raise self._failed(f"exit status {process.returncode}")
        return file

    def _started(self, *more: str) -> "subprocess.Popen[bytes]":
        with self._guard:
            if self._over.is_set():
                raise SourceError("stopped", "interrupted")
            self._process = subprocess.Popen(
                self._pattern.drawing(*more),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            return self._process

    def _failed(self, why: str) -> SourceError:
        if self._over.is_set():
            return SourceError("stopped", "interrupted")
        return SourceError("ended", f"the test pattern is not drawn: {why}")
