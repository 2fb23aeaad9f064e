"""A camera that pushes: its connection comes from the front, through the worker's control thread."""

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final, Protocol

from segmenter.ingest.body import Body
from segmenter.ingest.handover import Handover
from segmenter.source import SourceError
from segmenter.sources.feed import Feed, FeedConnection
from segmenter.sources.reading import Reader
from segmenter.tracks import AnyPacket

GATHER_S: Final = 0.5


class PushedSource:
    """One a camera. The newest push wins: a camera connects anew before its old connection is known to be dead."""

    awaits_its_camera: Final = True

    def __init__(self, *, silent_s: float) -> None:
        self._silent_s = silent_s
        self._changed = threading.Condition()
        self._offered: Push | None = None
        self._current: Push | None = None
        self._stopped = False

    def offer(self, handover: Handover, sock: socket.socket) -> None:
        """From any thread: take a push, which ends the one before. The socket is the source's from now on."""
        push = Push(handover, sock)
        with self._changed:
            before = (self._offered, self._current)
            self._offered = None if self._stopped else push
            self._changed.notify_all()
        for each in before:
            if each is not None:
                each.end(SourceError("ended", f"replaced by a newer push from {handover.peer}"))
        if before[0] is not None:
            before[0].close()  # nobody has opened it, so nobody else closes it
        if self._stopped:
            push.end(_STOPPED)
            push.close()

    def open(self) -> "PushConnection":
        """Wait for a push, however long."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._offered is not None)
            push, self._offered = self._offered, None
            self._current = push
            if self._stopped or push is None:
                raise _STOPPED
        try:
            return PushConnection(push, silent_s=self._silent_s)
        except SourceError as error:
            push.close(error)
            raise push.ended or error from error

    def interrupt(self) -> None:
        """As Source has it."""
        with self._changed:
            self._stopped = True
            offered, self._offered = self._offered, None
            current = self._current
            self._changed.notify_all()
        for each in (offered, current):
            if each is not None:
                each.end(_STOPPED)
        if offered is not None:
            offered.close()


_STOPPED: Final = SourceError("stopped", "the segmenter ends the push")


class PushReader(Reader, Protocol):
    """What reads a push from where the front stopped."""

    def close(self, error: SourceError | None = None) -> None:
        """Tell the sender how it ended, and close the socket."""
        ...


class Push:
    """A connection that was let in."""

    def __init__(self, handover: Handover, sock: socket.socket) -> None:
        self._handover, self._sock = handover, sock
        self._reader: PushReader | None = None
        self.ended: SourceError | None = None
        """Why we ended it, if it was us."""

    def reader(self, *, silent_s: float) -> PushReader:
        """What reads it from here on; raises SourceError."""
        self._reader = _reader(self._handover, self._sock, silent_s=silent_s)
        return self._reader

    def end(self, why: SourceError) -> None:
        """From any thread: reading ends soon."""
        self.ended = self.ended or why
        # The way back stays open for the answer.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def close(self, error: SourceError | None = None) -> None:
        """Answer what can be answered, and close."""
        if self._reader is not None:
            self._reader.close(self.ended or error)
        self._sock.close()


def _reader(handover: Handover, sock: socket.socket, *, silent_s: float) -> PushReader:
    if handover.protocol == "http":
        rest, state = base64.b64decode(handover.rest), handover.state
        return Body(sock, rest=rest, length=state["length"], chunked=state["chunked"], silent_s=silent_s)
    if handover.protocol == "rtmp":
        from segmenter.ingest.rtmp_flv import flv_reader

        return flv_reader(handover, sock, silent_s=silent_s)
    raise SourceError("unsupported", f"a push by {handover.protocol}")


class PushConnection(FeedConnection):
    """A push whose tracks are known."""

    def __init__(self, push: Push, *, silent_s: float) -> None:
        self._push = push
        super().__init__(Feed(push.reader(silent_s=silent_s), silent_s=silent_s), gather_s=GATHER_S)

    @property
    def container(self) -> Any:
        """As Connection has it."""
        return self._container

    def packets(self) -> Iterator[AnyPacket]:
        """As Connection has it; why we ended it counts more than how the library saw it."""
        try:
            yield from super().packets()
        except SourceError as error:
            raise self._push.ended or error from error
        if self._push.ended is not None:
            raise self._push.ended

    def close(self) -> None:
        """As Connection has it."""
        super().close()
        self._push.close()
