"""The video of an RTMP publisher as an FLV file that the demuxer reads."""

import base64
import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, Final

from segmenter.ingest.handover import Handover
from segmenter.ingest.rtmp_amf import decode, encode
from segmenter.ingest.rtmp_chunks import ChunkParser, Message
from segmenter.ingest.rtmp_error import RtmpError
from segmenter.ingest.rtmp_session import COMMAND, COMMAND_AMF3, Control, begun, command_payload, status
from segmenter.source import SourceError

AUDIO, VIDEO, SCRIPT = 8, 9, 18
HEADER: Final = b"FLV\x01\x00\x00\x00\x00\x09\x00\x00\x00\x00"
"""Names no tracks: with one named that never comes, the demuxer would look for it for 5 s and longer."""
_SET: Final = encode("@setDataFrame")
_METADATA: Final = encode("onMetaData")
_METADATA_MAX: Final = 64 << 10
_ENDS: Final = frozenset({"deleteStream", "FCUnpublish", "closeStream"})
_RECEIVE: Final = 64 << 10


class FlvReader:
    """One thread reads. It ends by b"", in order or not; `failure` then says why it was not in order."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        rest: bytes,
        state: dict[str, Any],
        silent_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        sock.setblocking(True)
        # The kernel's own limit: with Python's, each read would cost a poll as well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(1.0))
        self._sock, self._silent_s, self._now = sock, silent_s, now
        self._patience(silent_s)
        self._stream: int = state["stream"]
        self._parser = ChunkParser(state["chunks"])
        self._control = Control(received=state["received"], window=state["window"], acknowledged=state["acknowledged"])
        self._out = bytearray(HEADER)
        self._given = 0  # of them
        self._heard = now()
        self._over = False
        self.failure: SourceError | None = None
        # Only now: what a publisher sends before it was let in would have to travel with its socket.
        self._send(begun(self._stream))
        self._parse(rest)

    def read(self, most: int) -> bytes:
        """At most *most* bytes as soon as there are some; b"" for ever once it is over."""
        out = self._out
        while self._given >= len(out):
            if out:
                out.clear()
                self._given = 0
            if self._over:
                return b""
            self._receive()
        given = self._given
        self._given = given + most
        return bytes(memoryview(out)[given : given + most])

    def interrupt(self) -> None:
        """From any thread: read() ends."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RD)

    def close(self, error: SourceError | None = None) -> None:
        """Tell the publisher why, where it was not its own wish, and close."""
        why = error or self.failure
        if why is None and not self._over:
            why = SourceError("replaced", "the segmenter ended the push")
        with self._sock, contextlib.suppress(OSError):
            if why is not None:
                answer = status("NetStream.Publish.Failed", str(why)[:500], self._stream, level="error")
                self._sock.send(answer, socket.MSG_DONTWAIT)
            self._sock.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_RECEIVE)
        except BlockingIOError:
            self._fail("silent", f"nothing came for {self._silent_s:g} s")
            return
        except OSError as error:
            self._fail("ended", f"the connection broke: {error.strerror}")
            return
        if not data:
            self._fail("ended", "the connection ended without a word")
            return
        self._control.received += len(data)
        self._parse(data)
        acknowledgement = self._control.due()
        if acknowledgement:
            self._send(acknowledgement)
        if self._out:
            if self._patient < self._silent_s:
                self._patience(self._silent_s)
            self._heard = self._now()
            return
        # Bytes, but neither picture nor sound: pings, or a message that drips in.
        left_s = self._heard + self._silent_s - self._now()
        if left_s <= 0:
            self._fail("silent", f"neither picture nor sound came for {self._silent_s:g} s")
        else:
            self._patience(left_s)

    def _parse(self, data: bytes) -> None:
        parser, out = self._parser, self._out
        parser.feed(data)
        try:
            while (found := parser.next()) is not None:
                kind, timestamp, _, payload = found
                if kind in (AUDIO, VIDEO):
                    _add_tag(out, kind, timestamp, payload)
                elif kind == SCRIPT:
                    _add_metadata(out, found)
                elif kind in (COMMAND, COMMAND_AMF3):
                    if _ends(found):
                        self._over = True
                        return
                elif answer := self._control.obey(found):
                    self._send(answer)
        except RtmpError as error:
            self._fail("garbage", str(error))

    def _send(self, answer: bytes) -> None:
        try:
            self._sock.sendall(answer)
        except OSError as error:
            self._fail("ended", f"the connection takes no answer: {error.strerror}")

    def _patience(self, seconds: float) -> None:
        self._patient = seconds
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(max(seconds, 0.001)))

    def _fail(self, reason: str, detail: str) -> None:
        self._over = True
        self.failure = self.failure or SourceError(reason, detail)


def flv_reader(handover: Handover, sock: socket.socket, *, silent_s: float) -> FlvReader:
    """Go on where the front process stopped: the publisher is told that it was let in."""
    return FlvReader(sock, rest=base64.b64decode(handover.rest), state=handover.state, silent_s=silent_s)


def _add_tag(out: bytearray, kind: int, timestamp: int, payload: bytes | bytearray) -> None:
    size = len(payload)
    # Time in 24 bits, and then its upper 8.
    out += struct.pack(">IIB2x", kind << 24 | size, (timestamp & 0xFFFFFF) << 8 | timestamp >> 24, 0)
    out += payload
    out += (size + 11).to_bytes(4, "big")


def _add_metadata(out: bytearray, found: Message) -> None:
    payload = found.payload.removeprefix(_SET)
    # Other scripts (cue points, captions) would be further tracks to the demuxer.
    if payload.startswith(_METADATA) and len(payload) <= _METADATA_MAX:
        # At another time than 0 these would be one as well (flvdec.c).
        _add_tag(out, SCRIPT, 0, payload)


def _ends(found: Message) -> bool:
    values = decode(command_payload(found))
    return bool(values) and isinstance(values[0], str) and values[0] in _ENDS


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
