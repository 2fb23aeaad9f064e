"""An RTMP publisher from its first byte to its wish to publish: a pure state machine, bytes in and bytes out."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from segmenter.ingest.rtmp_amf import decode, encode
from segmenter.ingest.rtmp_chunks import SET_CHUNK_SIZE, ChunkParser, Message, message
from segmenter.ingest.rtmp_error import RtmpError

ACKNOWLEDGEMENT, USER_CONTROL, WINDOW, BANDWIDTH, COMMAND_AMF3, COMMAND = 3, 4, 5, 6, 17, 20
HANDSHAKE: Final = 1536
VERSION: Final = 3
COMMAND_MAX: Final = 16 << 10
"""Of a message before the wish."""
WINDOW_BYTES: Final = 2_500_000
CHUNK_SIZE: Final = 65_536
"""Told to the publisher; FFmpeg takes it for its own chunks too, so a picture comes in few of them."""
STREAM: Final = 1
APPS: Final = frozenset({"ingest", "live"})
"""Stand before the camera's name where an encoder insists on an application."""
_STREAM_BEGIN, _PING, _PONG = 0, 6, 7
_PATHS: Final = "<camera>/<key>, or ingest/<camera>?key=<key>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a publisher asks for."""

    camera: str
    key: str
    stream: int
    """Its message stream."""


class PublishSession:
    """receive() what comes and send what it returns, until there is a wish; then its state goes to the reader."""

    def __init__(self, random: Callable[[int], bytes] = os.urandom) -> None:
        self.wish: Wish | None = None
        self.refused = False
        """It wanted something else; the answer says so, and there is nothing more to say."""
        self._random = random
        self._greeting = bytearray()
        self._greeted = False
        self._parser: ChunkParser | None = None
        self._app = ""
        self._control = Control(received=0)

    def receive(self, data: bytes) -> bytes:
        """Return what is to be sent; raises RtmpError. What came after the wish stays unparsed."""
        self._control.received += len(data)
        answer = b""
        if self._parser is None:
            self._greeting += data
            answer = self._greet()
            if not self._greeted or len(self._greeting) < 1 + 2 * HANDSHAKE:
                return answer
            self._parser, data = ChunkParser(message_max=COMMAND_MAX), bytes(self._greeting[1 + 2 * HANDSHAKE :])
            self._greeting.clear()
        self._parser.feed(data)
        while self.wish is None and not self.refused and (found := self._parser.next()) is not None:
            answer += self._answer(found)
        return answer

    def rest(self) -> bytes:
        """What came after the wish."""
        return b"" if self._parser is None else self._parser.rest()

    def state(self) -> dict[str, Any]:
        """What the reader must know."""
        if self._parser is None or self.wish is None:
            raise RtmpError("a wish to publish", "none yet")
        return {"chunks": self._parser.state(), "stream": self.wish.stream, **self._control.state()}

    def _greet(self) -> bytes:
        first = self._greeting[:1]
        if first and first[0] != VERSION:
            raise RtmpError(f"version {VERSION}, not encrypted", str(first[0]))
        if self._greeted or len(self._greeting) < 1 + HANDSHAKE:
            return b""
        self._greeted = True
        # Four zeros where a version could stand: then nobody, FFmpeg and OBS included, asks for a signed handshake.
        ours = bytes(8) + self._random(HANDSHAKE - 8)
        return bytes((VERSION,)) + ours + bytes(self._greeting[1 : 1 + HANDSHAKE])

    def _answer(self, found: Message) -> bytes:
        if found.kind not in (COMMAND, COMMAND_AMF3):
            return self._control.obey(found)
        values = decode(command_payload(found))
        name, transaction = (*values[:2], None, None)[:2]
        if not isinstance(name, str):
            raise RtmpError("a command's name", type(name).__name__)
        transaction = transaction if isinstance(transaction, float) else 0.0
        answer = b""
        match name:
            case "connect":
                answer = self._connect(transaction, values)
            case "createStream":
                answer = _result(transaction, None, STREAM)
            case "releaseStream" | "FCPublish":
                answer = _result(transaction, None, None)
            case "publish":
                self.wish = _wish(self._app, values, found.stream)
                if self.wish is None:
                    answer = self._refuse("NetStream.Publish.BadName", f"publish to {_PATHS}", found.stream)
            case "play" | "play2":
                answer = self._refuse("NetStream.Play.Failed", "there is nothing to play here", found.stream)
        return answer

    def _refuse(self, code: str, why: str, stream: int) -> bytes:
        self.refused = True
        return status(code, why, stream, level="error")

    def _connect(self, transaction: float, values: list[Any]) -> bytes:
        options = values[2] if len(values) > 2 and isinstance(values[2], dict) else {}
        self._app = str(options.get("app") or "")
        window = WINDOW_BYTES.to_bytes(4, "big")
        information = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "connected",
            "objectEncoding": 0,
        }
        return (
            message(WINDOW, window, chunk_stream=2)
            + message(BANDWIDTH, window + b"\x02", chunk_stream=2)
            + message(SET_CHUNK_SIZE, CHUNK_SIZE.to_bytes(4, "big"), chunk_stream=2)
            + _result(transaction, {"fmsVer": "FMS/3,0,1,123", "capabilities": 31}, information)
        )


class Control:
    """Acknowledgements and pings: what a peer wants besides its stream."""

    def __init__(self, *, received: int, window: int = 0, acknowledged: int = 0) -> None:
        self.received = received
        self._window, self._acknowledged = window, acknowledged

    def state(self) -> dict[str, int]:
        """To go on elsewhere."""
        return {"received": self.received, "window": self._window, "acknowledged": self._acknowledged}

    def obey(self, found: Message) -> bytes:
        """Return the answer to a message of control, if it wants one."""
        if found.kind == WINDOW and len(found.payload) >= 4:
            self._window = int.from_bytes(found.payload[:4], "big")
        elif found.kind == USER_CONTROL and found.payload[:2] == _PING.to_bytes(2, "big"):
            return message(USER_CONTROL, _PONG.to_bytes(2, "big") + bytes(found.payload[2:6]), chunk_stream=2)
        return b""

    def due(self) -> bytes:
        """An acknowledgement, where the peer waits for one: some encoders stop without it."""
        if not self._window or self.received - self._acknowledged < self._window:
            return b""
        self._acknowledged = self.received
        return message(ACKNOWLEDGEMENT, (self.received & 0xFFFFFFFF).to_bytes(4, "big"), chunk_stream=2)


def command_payload(found: Message) -> bytes:
    """Of a command, as AMF0; AMF3's has a zero before it."""
    return bytes(found.payload[1:] if found.kind == COMMAND_AMF3 else found.payload)


def begun(stream: int) -> bytes:
    """What the publisher waits for before it sends."""
    begin = _STREAM_BEGIN.to_bytes(2, "big") + stream.to_bytes(4, "big")
    return message(USER_CONTROL, begin, chunk_stream=2) + status("NetStream.Publish.Start", "let in", stream)


def status(code: str, description: str, stream: int, *, level: str = "status") -> bytes:
    """Tell what became of the wish."""
    information = {"level": level, "code": code, "description": description}
    return message(COMMAND, encode("onStatus", 0, None, information), chunk_stream=5, stream=stream)


def _result(transaction: float, *values: Any) -> bytes:
    return message(COMMAND, encode("_result", transaction, *values))


def _wish(app: str, values: list[Any], stream: int) -> Wish | None:
    name = values[3] if len(values) > 3 and isinstance(values[3], str) else ""
    app, _, app_query = app.partition("?")
    name, _, query = name.partition("?")
    keys = parse_qs(query).get("key") or parse_qs(app_query).get("key")
    pieces = [unquote(piece) for piece in f"{app}/{name}".split("/") if piece]
    wanted = 1 if keys else 2
    if len(pieces) == wanted + 1 and pieces[0] in APPS:
        del pieces[0]
    if len(pieces) != wanted:
        return None
    return Wish(camera=pieces[0], key=keys[0] if keys else pieces[1], stream=stream)
