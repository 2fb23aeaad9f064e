"""Chunks become the messages they were cut from, however they are mixed and split; what is not RTMP is refused."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.ingest.rtmp_chunks import MESSAGE_MAX, ChunkParser, Message
from segmenter.ingest.rtmp_error import RtmpError
from tests.rtmp_peer import ChunkWriter, basic

TIMES = st.one_of(st.integers(0, 5000), st.integers(0xFFFFF0, 0x100000F), st.integers(0, 0xFFFFFFFF))
MESSAGES = st.builds(
    Message,
    st.sampled_from([8, 9, 18, 20]),
    TIMES,
    st.integers(0, 2),
    st.one_of(st.binary(max_size=40), st.integers(0, 700).map(bytes)),
)
NUMBERS = st.sampled_from([3, 63, 64, 319, 320, 65599])


def parsed(parser: ChunkParser, data: bytes) -> list[Message]:
    parser.feed(data)
    found = []
    while (each := parser.next()) is not None:
        found.append(each)
    return found


def carried(parser: ChunkParser) -> ChunkParser:
    other = ChunkParser(json.loads(json.dumps(parser.state())))
    other.feed(parser.rest())
    return other


@st.composite
def streams(draw: Any) -> tuple[bytes, list[Message]]:
    """Messages on several chunk streams, their chunks mixed; and in which order they are complete."""
    writer = ChunkWriter(chunk_size=draw(st.sampled_from([1, 7, 128, 4096])))
    sent = draw(st.lists(st.tuples(NUMBERS, MESSAGES, st.integers(0, 3)), max_size=12))
    waiting: dict[int, list[tuple[bytes, Message | None]]] = {}
    for number, message, form in sent:
        pieces = writer.chunks(number, message, form)
        ends = [None] * (len(pieces) - 1) + [message]
        waiting.setdefault(number, []).extend(zip(pieces, ends, strict=True))
    size = Message(1, 0, 0, writer.chunk_size.to_bytes(4, "big"))
    data, complete = ChunkWriter().write(2, size), []
    while waiting:
        number = draw(st.sampled_from(sorted(waiting)))
        piece, end = waiting[number].pop(0)
        data += piece
        complete += [end] if end is not None else []
        waiting = {key: pieces for key, pieces in waiting.items() if pieces}
    return data, complete


@settings(max_examples=200, deadline=None)
@given(streams(), st.lists(st.integers(0, 4000), max_size=6), st.booleans())
def test_any_mixture_and_any_split_gives_the_messages(
    stream: tuple[bytes, list[Message]], cuts: list[int], carry: bool
) -> None:
    """Also when another parser goes on with the state and the rest at each split."""
    data, sent = stream
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parser, found = ChunkParser(), []

    for start, end in itertools.pairwise(places):
        found += parsed(parser, data[start:end])
        parser = carried(parser) if carry else parser

    assert found == sent
    assert parser.rest() == b""


def test_byte_by_byte_is_the_same_as_at_once() -> None:
    """No header is parsed twice."""
    writer = ChunkWriter()
    sent = [Message(9, time, 1, bytes(300)) for time in (0, 0, 40, 80, 0x1000000, 0x1000028)]
    data = writer.write(70, *sent)
    parser = ChunkParser()

    found = [each for byte in data for each in parsed(parser, bytes((byte,)))]

    assert found == sent


def test_an_encoder_may_leave_out_the_extended_time_in_later_chunks() -> None:
    """Some do; their payload goes on at once."""
    writer = ChunkWriter(repeat=False)
    sent = [Message(9, 0x1000000 + 40 * number, 1, bytes([number]) * 300) for number in range(3)]

    found = parsed(ChunkParser(), b"".join(piece for each in sent for piece in writer.chunks(4, each, 0)))

    assert found == sent


def test_a_time_runs_over_at_32_bits() -> None:
    """After 49.7 days; the demuxer unwraps it."""
    sent = [Message(8, 0xFFFFFFF0, 1, b"a"), Message(8, 0x10, 1, b"b")]

    assert parsed(ChunkParser(), ChunkWriter().write(4, *sent)) == sent


def test_the_chunk_size_changes_between_two_chunks_of_a_message() -> None:
    """It is of the connection, not of a message."""
    message = Message(9, 0, 1, bytes(range(200)))
    first = ChunkWriter().chunks(4, message)[0]
    size = ChunkWriter().write(2, Message(1, 0, 0, (50).to_bytes(4, "big")))
    rest = basic(3, 4) + message.payload[128:178] + basic(3, 4) + message.payload[178:]

    assert parsed(ChunkParser(), first + size + rest) == [message]


def test_an_aborted_message_is_forgotten() -> None:
    """The next one on its chunk stream begins anew."""
    writer = ChunkWriter()
    half = writer.chunks(4, Message(9, 0, 1, bytes(300)))[0]
    abort = writer.write(2, Message(2, 0, 0, (4).to_bytes(4, "big")))
    whole = Message(9, 40, 1, b"whole")

    assert parsed(ChunkParser(), half + abort + writer.write(4, whole)) == [whole]


def test_a_ping_answer_of_librtmp_needs_no_whole_header() -> None:
    """It has form 1 on a chunk stream that was not used before."""
    data = bytes.fromhex("42 000000 000006 04 0007 00000001")

    assert parsed(ChunkParser(), data) == [Message(4, 0, 0, bytes.fromhex("0007 00000001"))]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(basic(3, 4), "whole header", id="no-header"),
        pytest.param(basic(2, 4) + bytes(3), "whole header", id="no-length"),
        pytest.param(basic(0, 2) + bytes(3) + b"\0\0\4\1" + bytes(8), "chunk size", id="chunks-of-0"),
        pytest.param(basic(0, 2) + bytes(3) + b"\0\0\4\1" + bytes(4) + b"\xff" * 4, "chunk size", id="chunks-of-4-GiB"),
        pytest.param(basic(0, 2) + bytes(3) + b"\0\0\1\2" + bytes(5), "4 bytes", id="half-an-abort"),
        pytest.param((basic(0, 4) + b"\0\0\0\0\xff\xff\x09" + bytes(132)) * 2, "rest of a message", id="begun-twice"),
        pytest.param(b"".join(basic(0, 3 + n) + bytes(11) for n in range(65)), "64 chunk streams", id="65-streams"),
    ],
)
def test_what_is_not_allowed_is_refused(data: bytes, expected: str) -> None:
    """With what was expected."""
    with pytest.raises(RtmpError, match=expected):
        parsed(ChunkParser(), data)


def test_messages_that_are_not_complete_have_one_bound_together() -> None:
    """Sixty-four chunk streams hold no more than one."""
    size = ChunkWriter().write(2, Message(1, 0, 0, (1 << 20).to_bytes(4, "big")))
    parser = ChunkParser()
    parsed(parser, size)
    begun = [basic(0, 4 + number) + b"\0\0\0\xff\xff\xff\x09\1\0\0\0" for number in range(17)]

    with pytest.raises(RtmpError, match=f"at most {MESSAGE_MAX} bytes"):
        parsed(parser, b"".join(header + bytes(1 << 20) for header in begun))


def test_messages_that_are_complete_count_no_longer() -> None:
    """The bound is of what is held, not of all that came."""
    sent = [Message(9, 40 * number, 1, bytes(500)) for number in range(10)]

    assert parsed(ChunkParser(message_max=1000), ChunkWriter().write(4, *sent)) == sent


def test_a_message_beyond_the_readers_bound_is_refused_by_its_header() -> None:
    """Before publish nothing long is said."""
    parser = ChunkParser(message_max=1000)

    with pytest.raises(RtmpError, match="at most 1000 bytes"):
        parsed(parser, basic(0, 4) + bytes(3) + (1001).to_bytes(3, "big") + bytes(5))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_end_in_messages_or_a_refusal(pieces: list[bytes]) -> None:
    """Nothing else is raised."""
    parser = ChunkParser()

    with contextlib.suppress(RtmpError):
        for piece in pieces:
            parsed(parser, piece)
