"""Bytes of a camera that no library connects to, demuxed: read-only, not seekable, bounded all along."""

import time
from collections.abc import Iterator
from typing import Any, Final

import av
import av.error
import av.logging
from av.container import InputContainer

from segmenter.source import SourceError
from segmenter.sources.fragments import Fragments
from segmenter.sources.limits import DECODED, MOST_PIXELS, check_limits
from segmenter.sources.reading import Reader
from segmenter.sources.times import Decoded, Heard
from segmenter.tracks import AnyPacket, video_stream

PROBE_BYTES: Final = 5_000_000
PROBE_S: Final = 10.0
PACKET_BYTES: Final = 16 << 20
"""A demuxer keeps what it reads until a packet is whole, so this bounds its memory."""
_HEAD: Final = 16
_PROBE_OPTIONS: Final = {
    "probesize": str(PROBE_BYTES),
    "max_pixels": str(MOST_PIXELS),
    "max_streams": "64",
    "fpsprobesize": "0",  # the rate is the cutter's business; looking for it keeps twenty frames waiting
}
_ANALYZE_S: Final = {"flv": 2}
"""Of media, by container. FLV may grow a track at any time, so all of this is waited for where it has one only."""
_ANALYZE_USUAL_S: Final = 9
_SHOWN_ONLY: Final = ("matroska",)
"""They say when a picture is shown, not when it is decoded. The library guesses, and needs a decoder for it."""
_BOXES: Final = (b"ftyp", b"styp", b"moov")


class Feed:
    """The file that the demuxer reads: it says when too much or too little comes of too many bytes."""

    def __init__(self, reader: Reader, *, silent_s: float) -> None:
        self._reader = reader
        self._pieces: Fragments | None = None
        self._head = b""
        self.silent_s = silent_s
        self.packets = 0
        """How many came of it so far; its reader counts."""
        self._failure: SourceError | None = None
        self._probing = True
        self._seen = self._bytes = 0
        self._since = time.monotonic()

    @property
    def failure(self) -> SourceError | None:
        """Why it ended, where that was not in order."""
        return self._failure or self._reader.failure

    def head(self) -> bytes:
        """Look at the first bytes; they are read once more."""
        while len(self._head) < _HEAD and (more := self._read(_HEAD - len(self._head))):
            self._head += more
        return self._head

    def read(self, most: int) -> bytes:
        """As Reader has it; after a failure b"", so that the demuxer gives out the last packet it holds."""
        if self._head:
            data, self._head = self._head[:most], self._head[most:]
            return data
        return self._read(most)

    def in_pieces(self) -> None:
        """It is MP4: without an end the demuxer's index would have none either."""
        self._reader = self._pieces = Fragments(self._reader, begun=self._head)
        self._head = b""

    def goes_on(self) -> bool:
        """Whether there is another piece, for another demuxer."""
        return self._pieces is not None and self._pieces.goes_on()

    def found(self) -> None:
        """The tracks are known: from now on packets are waited for."""
        self._probing = False
        self._bytes, self._since = 0, time.monotonic()

    def _read(self, most: int) -> bytes:
        if self._failure is not None:
            return b""
        if self.packets != self._seen:
            self._seen, self._bytes, self._since = self.packets, 0, time.monotonic()
        try:
            self._check()
            data = self._reader.read(most)
        except SourceError as error:
            self._failure = error
            return b""
        self._bytes += len(data)
        return data

    def _check(self) -> None:
        waited = time.monotonic() - self._since
        if self._probing:
            # The library gives up a little earlier by itself, where it can.
            if self._bytes > PROBE_BYTES + PROBE_BYTES // 2 or waited > PROBE_S:
                raise SourceError("garbage", f"no tracks within {PROBE_BYTES} bytes and {PROBE_S:g} s")
        elif self._bytes > PACKET_BYTES:
            raise SourceError("too-large", f"{PACKET_BYTES} bytes and no whole packet")
        elif waited > self.silent_s:
            raise SourceError("silent", f"bytes, but no packet for {self.silent_s:g} s")


class FeedConnection:
    """A demuxer on a feed."""

    transcoding: str | None = None

    def __init__(self, feed: Feed, *, gather_s: float, form: str | None = None) -> None:
        """*form* as the library names it; else it is told from the first bytes. Raises SourceError."""
        self._feed, self.gather_s = feed, gather_s
        self._form = form or form_of(feed)
        if self._form == "mp4":
            feed.in_pieces()
        analyze_s = _ANALYZE_S.get(self._form, _ANALYZE_USUAL_S)
        told = {"codec_whitelist": DECODED, "analyzeduration": str(analyze_s * 1_000_000)}
        self._options = {**_PROBE_OPTIONS, **told}
        self._container = self._opened()
        self._later: list[InputContainer] = []
        feed.found()

    def _opened(self) -> InputContainer:
        av.logging.set_level(None)
        told = self._options
        try:
            container = av.open(self._feed, "r", format=self._form, options=told, metadata_errors="replace")
        except (av.error.FFmpegError, MemoryError, ValueError) as error:
            raise self._feed.failure or _refused(error) from error
        try:
            self._check(container)
        except SourceError:
            container.close()
            raise
        return container

    def _check(self, container: InputContainer) -> None:
        if self._feed.failure is not None:
            raise self._feed.failure
        check_limits(container)
        if not container.streams.video:
            kinds = ", ".join(sorted({each.type for each in container.streams})) or "nothing"
            raise SourceError("unsupported", f"expected a video track, found {kinds}")

    @property
    def container(self) -> Any:
        """As Connection has it."""
        return self._container

    def packets(self) -> Iterator[AnyPacket]:
        """As Connection has it; ends in order where the sender did."""
        yield from self._demuxed(self._container)
        while self._feed.goes_on():
            # The first is what the tracks were taken from, and a packet of the one before may still be in use.
            if len(self._later) > 1:
                self._later.pop(0).close()
            self._later.append(self._opened())
            yield from self._demuxed(self._later[-1])

    def _demuxed(self, container: InputContainer) -> Iterator[AnyPacket]:
        feed, heard = self._feed, Heard(next(iter(container.streams.audio), None))
        decoded = Decoded(video_stream(container)) if self._form in _SHOWN_ONLY else None
        try:
            for packet in container.demux((*container.streams.video, *container.streams.audio)):
                feed.packets += 1
                if not packet.size:
                    continue  # the library ends by an empty one a track
                if decoded is not None and packet.stream_index == decoded.index:
                    yield from decoded.mended(packet)
                    continue
                if packet.stream_index == heard.index:
                    heard.mend(packet)
                yield packet
            if decoded is not None:
                yield from decoded.rest()
        except (av.error.FFmpegError, MemoryError) as error:
            raise feed.failure or _refused(error) from error
        if feed.failure is not None:
            raise feed.failure

    def close(self) -> None:
        """As Connection has it."""
        for each in (*self._later, self._container):
            each.close()


def form_of(feed: Feed) -> str:
    """Tell the container from its first bytes: no other demuxer ever sees them."""
    head = feed.head()
    if head[:1] == b"\x47":
        return "mpegts"
    if head[:3] == b"FLV":
        return "flv"
    if head[4:8] in _BOXES:
        return "mp4"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    raise feed.failure or SourceError(
        "garbage", f"expected MPEG-TS, fragmented MP4, FLV or Matroska, found {head[:8].hex() or 'nothing'}"
    )


def _refused(error: BaseException) -> SourceError:
    if isinstance(error, MemoryError):
        return SourceError("too-large", "tables or packets that do not fit in memory")
    return SourceError("garbage", f"not what it began as: {getattr(error, 'strerror', None) or error}"[:200])
