"""RTMP's chunk stream: messages out of interleaved pieces. Pure; it keeps nothing but messages that are not complete.

Section 5.3 of Adobe's specification 1.0, and what encoders make of it.
"""

import base64
import struct
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from segmenter.ingest.rtmp_error import RtmpError

MESSAGE_MAX: Final = 16 << 20
"""Of one message, and of all those together that are not complete."""
STREAMS_MAX: Final = 64
FIRST_CHUNK_SIZE: Final = 128
SET_CHUNK_SIZE, ABORT = 1, 2
_EXTENDED: Final = 0xFFFFFF
_HEADER_SIZES: Final = (11, 7, 3, 0)


class Message(NamedTuple):
    """A complete one."""

    kind: int
    timestamp: int
    """In ms, 32 bits."""
    stream: int
    payload: bytes | bytearray


@dataclass(slots=True)
class _Stream:
    """What the headers of one chunk stream say; later ones leave out what did not change."""

    timestamp: int = 0
    delta: int = 0
    length: int = 0
    kind: int = 0
    stream: int = 0
    extended: int | None = None
    body: bytearray = field(default_factory=bytearray)
    inside: bool = False
    """A message has begun and is not complete."""


class ChunkParser:
    """feed() bytes as they come, then next() until it has no message. After RtmpError it is of no use."""

    def __init__(self, state: dict[str, Any] | None = None, *, message_max: int = MESSAGE_MAX) -> None:
        self._message_max = message_max
        self.chunk_size: int = FIRST_CHUNK_SIZE
        self._streams: dict[int, _Stream] = {}
        self._data, self._at = b"", 0
        self._current: _Stream | None = None  # within a chunk of this one,
        self._left = 0  # of which so many bytes are to come
        self._held = 0
        if state is not None:
            self.chunk_size = state["chunk_size"]
            self._streams = {int(number): _loaded(values) for number, values in state["streams"].items()}
            self._left, self._held = state["left"], sum(len(each.body) for each in self._streams.values())
            self._current = None if state["current"] is None else self._streams[state["current"]]

    def state(self) -> dict[str, Any]:
        """All that another parser must know to go on with rest(); JSON can hold it."""
        streams = {str(number): _saved(stream) for number, stream in self._streams.items()}
        current = next((number for number, each in self._streams.items() if each is self._current), None)
        return {"chunk_size": self.chunk_size, "streams": streams, "left": self._left, "current": current}

    def rest(self) -> bytes:
        """What was fed and is not parsed."""
        return self._data[self._at :]

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Message | None:
        """The next message that is complete; None: more bytes are needed."""
        while True:
            stream = self._current
            if stream is None:
                stream = self._begin_chunk()
                if stream is None:
                    return None
            at, left = self._at, self._left
            data = self._data[at : at + left]
            taken = len(data)
            self._at = at + taken
            if taken < left:
                self._current, self._left = stream, left - taken
                self._hold(stream, data)
                return None
            self._current = None
            body = stream.body
            if len(body) + taken < stream.length:
                self._hold(stream, data)
                continue
            payload: bytes | bytearray = data
            if body:
                self._held -= len(body)
                body += data
                payload, stream.body = body, bytearray()
            stream.inside = False
            if stream.kind > ABORT or not self._obey(stream.kind, payload):
                return Message(stream.kind, stream.timestamp, stream.stream, payload)

    def _hold(self, stream: _Stream, data: bytes) -> None:
        stream.body += data
        self._held += len(data)
        if self._held > self._message_max:
            raise RtmpError(f"at most {self._message_max} bytes in messages that are not complete", "more")

    def _begin_chunk(self) -> _Stream | None:
        """Read a chunk's header; None: it is not all there."""
        data, at = self._data, self._at
        if at >= len(data):
            self._data, self._at = b"", 0  # what was received is not kept until more comes
            return None
        form, number = data[at] >> 6, data[at] & 0x3F
        at += 1
        if number < 2:
            at, longer = at + number + 1, data[at : at + number + 1]
            if at > len(data):
                return None
            number = 64 + int.from_bytes(longer, "little")
        end = at + _HEADER_SIZES[form]
        stream = self._streams.get(number)
        if form < 3:
            extended = _EXTENDED if data[at : at + 3] == b"\xff\xff\xff" else None
        else:
            extended = stream.extended if stream is not None else None
        if end + (0 if extended is None else 4) > len(data):
            return None
        stream = self._stream(number, form)
        if form < 3:
            end = _read_header(stream, form, data, at, end, extended=extended is not None)
            if stream.length > self._message_max:
                raise RtmpError(f"a message of at most {self._message_max} bytes", str(stream.length))
        elif extended is not None and int.from_bytes(data[end : end + 4], "big") == extended:
            # Repeated in chunks without a header: so does the specification, but not every encoder; those that leave
            # it out go on with payload.
            end += 4
        if not stream.inside:
            _begin_message(stream, form)
        self._at = end
        self._left = min(self.chunk_size, stream.length - len(stream.body))
        return stream

    def _stream(self, number: int, form: int) -> _Stream:
        stream = self._streams.get(number)
        if stream is None:
            # librtmp answers a ping with form 1 on a chunk stream that it has not used before.
            if form > 1:
                raise RtmpError("a whole header first", f"form {form} on chunk stream {number}")
            if len(self._streams) >= STREAMS_MAX:
                raise RtmpError(f"at most {STREAMS_MAX} chunk streams", "more")
            stream = self._streams[number] = _Stream()
        if stream.inside and form < 3:
            raise RtmpError("the rest of a message", f"another one on chunk stream {number}")
        return stream

    def _obey(self, kind: int, payload: bytes | bytearray) -> bool:
        """Whether the message was for this layer alone."""
        if kind not in (SET_CHUNK_SIZE, ABORT):
            return False
        if len(payload) < 4:
            raise RtmpError("4 bytes of control", str(len(payload)))
        value = int.from_bytes(payload[:4], "big")
        if kind == SET_CHUNK_SIZE:
            if not 1 <= value <= MESSAGE_MAX:
                raise RtmpError(f"a chunk size of 1 to {MESSAGE_MAX}", str(value))
            self.chunk_size = value
        elif (stream := self._streams.get(value)) is not None:
            self._held -= len(stream.body)
            stream.body, stream.inside = bytearray(), False
        return True


def _read_header(stream: _Stream, form: int, data: bytes, at: int, end: int, *, extended: bool) -> int:
    time = int.from_bytes(data[at : at + 3], "big")
    stream.extended = None
    if extended:
        time = stream.extended = int.from_bytes(data[end : end + 4], "big")
    stream.delta = time
    if form < 2:
        stream.length = int.from_bytes(data[at + 3 : at + 6], "big")
        stream.kind = data[at + 6]
    if form == 0:
        stream.stream = int.from_bytes(data[at + 7 : at + 11], "little")
    return end + 4 if extended else end


def _begin_message(stream: _Stream, form: int) -> None:
    # A message without any header repeats the delta; after a whole header that is the time in it (5.3.1.2.4).
    stream.timestamp = stream.delta if form == 0 else (stream.timestamp + stream.delta) & 0xFFFFFFFF
    stream.inside = True


def _saved(stream: _Stream) -> dict[str, Any]:
    return {**asdict(stream), "body": base64.b64encode(stream.body).decode("ascii")}


def _loaded(values: dict[str, Any]) -> _Stream:
    return _Stream(**{**values, "body": bytearray(base64.b64decode(values["body"]))})


def message(kind: int, payload: bytes, *, chunk_stream: int = 3, stream: int = 0) -> bytes:
    """A message in one chunk, as all of ours are: longer ones than 128 bytes follow a SetChunkSize."""
    head = bytes((chunk_stream, 0, 0, 0)) + len(payload).to_bytes(3, "big") + bytes((kind,))
    return head + struct.pack("<I", stream) + payload
