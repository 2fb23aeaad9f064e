"""What an RTMP publisher sends: chunks in every form that the specification allows, and the talk up to publish."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from segmenter.ingest.rtmp_amf import encode
from segmenter.ingest.rtmp_chunks import Message

COMMAND: Final = 20
HANDSHAKE: Final = bytes((3,)) + bytes(2 * 1536)
"""C0, C1 and C2."""


@dataclass(slots=True)
class ChunkWriter:
    """Writes each message with the shortest header that it may, down to *form*."""

    chunk_size: int = 128
    form: int = 3
    repeat: bool = True
    """The extended time in chunks without a header, as the specification has it."""
    _last: dict[int, tuple[Message, int]] = field(default_factory=dict)

    def chunks(self, number: int, message: Message, form: int | None = None) -> list[bytes]:
        """The message in pieces, for chunk stream *number*."""
        form, time = self._form(number, message, self.form if form is None else form)
        self._last[number] = (message, time)
        extended = time.to_bytes(4, "big") if time >= 0xFFFFFF else b""
        size = len(message.payload).to_bytes(3, "big") + bytes((message.kind,))
        header = (min(time, 0xFFFFFF).to_bytes(3, "big") + size + message.stream.to_bytes(4, "little"))[
            : (11, 7, 3, 0)[form]
        ]
        body = bytes(message.payload)
        pieces = [body[at : at + self.chunk_size] for at in range(0, len(body), self.chunk_size)] or [b""]
        again = basic(3, number) + (extended if self.repeat else b"")
        first = basic(form, number) + header + (extended if form < 3 or self.repeat else b"")
        return [first + pieces[0], *(again + piece for piece in pieces[1:])]

    def write(self, number: int, *messages: Message) -> bytes:
        """The messages, one after the other."""
        return b"".join(piece for each in messages for piece in self.chunks(number, each))

    def _form(self, number: int, message: Message, wanted: int) -> tuple[int, int]:
        if number not in self._last or wanted == 0 or self._last[number][0].stream != message.stream:
            return 0, message.timestamp
        last, time = self._last[number]
        delta = (message.timestamp - last.timestamp) & 0xFFFFFFFF
        same = last.kind == message.kind and len(last.payload) == len(message.payload)
        return min(wanted, 1 if not same else 2 if delta != time else 3), delta


def basic(form: int, number: int) -> bytes:
    """A chunk's first bytes: its form, and which stream it is of."""
    if number < 64:
        return bytes((form << 6 | number,))
    if number < 320:
        return bytes((form << 6, number - 64))
    return bytes((form << 6 | 1,)) + (number - 64).to_bytes(2, "little")


def command(*values: Any, stream: int = 0) -> Message:
    """A command message."""
    return Message(COMMAND, 0, stream, encode(*values))


def talk(app: str = "gate", name: str = "key", *, before: Iterable[Message] = ()) -> bytes:
    """All that a publisher sends up to its wish."""
    writer = ChunkWriter()
    messages = [
        command("connect", 1, {"app": app, "type": "nonprivate", "tcUrl": f"rtmp://127.0.0.1/{app}"}),
        *before,
        command("releaseStream", 2, None, name),
        command("FCPublish", 3, None, name),
        command("createStream", 4, None),
    ]
    wish = command("publish", 5, None, name, "live", stream=1)
    return HANDSHAKE + writer.write(3, *messages) + writer.write(8, wish)
