"""From the first byte to the wish to publish: what FFmpeg and OBS need is answered, everything else is refused."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmenter.ingest.rtmp_amf import decode
from segmenter.ingest.rtmp_chunks import ChunkParser, Message, message
from segmenter.ingest.rtmp_error import RtmpError
from segmenter.ingest.rtmp_session import CHUNK_SIZE, COMMAND, HANDSHAKE, PublishSession, Wish
from tests.rtmp_peer import HANDSHAKE as GREETING
from tests.rtmp_peer import ChunkWriter, command, talk


def said(answer: bytes) -> list[Message]:
    """The messages behind the handshake."""
    parser = ChunkParser()
    parser.feed(answer[1 + 2 * HANDSHAKE :])
    return list(iter(parser.next, None))


def commands(answer: bytes) -> list[list[Any]]:
    return [decode(bytes(each.payload)) for each in said(answer) if each.kind == COMMAND]


@pytest.mark.parametrize(
    ("app", "name"),
    [
        pytest.param("gate", "k1", id="as-documented"),
        pytest.param("/gate/", "k1?other=1", id="slashes-and-a-query"),
        pytest.param("ingest/gate", "k1", id="app-and-instance"),
        pytest.param("ingest", "gate?key=k1", id="application-first"),
        pytest.param("live", "gate?key=k1", id="usual-application"),
        pytest.param("live", "gate/k1", id="path-in-the-name"),
        pytest.param("gate?key=k1", "", id="all-in-the-server"),
        pytest.param("", "gate?key=k%31", id="escaped"),
    ],
)
def test_camera_and_key_are_found(app: str, name: str) -> None:
    """Wherever the encoder puts them."""
    session = PublishSession()

    session.receive(talk(app, name))

    assert session.wish == Wish(camera="gate", key="k1", stream=1)


def test_a_camera_may_have_the_name_of_an_application() -> None:
    """Two names are a camera and its key."""
    session = PublishSession()

    session.receive(talk("live", "k1"))

    assert session.wish == Wish(camera="live", key="k1", stream=1)


@pytest.mark.parametrize(("app", "name"), [("gate", ""), ("a/b", "c/d"), ("", "")])
def test_another_path_is_refused_with_the_right_one(app: str, name: str) -> None:
    """The publisher shows it to whoever set it up."""
    session = PublishSession()

    answer = commands(session.receive(talk(app, name)))[-1]

    assert session.refused
    assert session.wish is None
    assert answer[0] == "onStatus"
    assert answer[3]["level"] == "error"
    assert "<camera>/<key>" in answer[3]["description"]


def test_each_call_is_answered() -> None:
    """By its transaction; connect also with our chunk size, which FFmpeg takes for its own."""
    answer = PublishSession().receive(talk())

    kinds = [each.kind for each in said(answer)]
    results = {each[1]: each for each in commands(answer)}
    assert answer[0] == 3
    assert kinds[:3] == [5, 6, COMMAND]
    assert message(1, CHUNK_SIZE.to_bytes(4, "big"), chunk_stream=2) in answer
    assert results[1.0][3]["code"] == "NetConnection.Connect.Success"
    assert results[4.0] == ["_result", 4.0, None, 1.0]
    assert set(results) == {1.0, 2.0, 3.0, 4.0}


def test_the_peers_greeting_comes_back_as_it_was() -> None:
    """That is all that a handshake without signatures is for."""
    greeting = bytes((3,)) + bytes(range(256)) * 6

    answer = PublishSession(random=bytes).receive(greeting)

    assert answer == bytes((3,)) + bytes(HANDSHAKE) + greeting[1:]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4000), max_size=8))
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int]) -> None:
    """What follows the wish is not parsed here, and nothing of it is lost."""
    more = ChunkWriter().write(6, Message(9, 0, 1, b"video"))
    data = talk() + more
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    session = PublishSession(random=bytes)
    answer, late = b"", b""

    for start, end in itertools.pairwise(places):
        if session.wish is None:
            answer += session.receive(data[start:end])
        else:
            late += data[start:end]

    assert answer == PublishSession(random=bytes).receive(talk())
    assert session.rest() + late == more
    assert json.loads(json.dumps(session.state())) == session.state()


def test_a_ping_is_answered() -> None:
    """With its own time."""
    ping = Message(4, 0, 0, bytes.fromhex("0006 0a0b0c0d"))

    answer = PublishSession().receive(talk(before=[ping]))

    assert Message(4, 0, 0, bytes.fromhex("0007 0a0b0c0d")) in said(answer)


def test_commands_of_amf3_are_understood() -> None:
    """They are those of AMF0 behind a zero."""
    connect = command("connect", 1, {"app": "gate"})
    session = PublishSession()

    answer = session.receive(GREETING + ChunkWriter().write(3, Message(17, 0, 0, b"\0" + connect.payload)))

    assert commands(answer)[0][0] == "_result"


def test_commands_that_mean_nothing_here_are_passed_over() -> None:
    """Encoders ask for many things."""
    session = PublishSession()

    session.receive(talk(before=[command("_checkbw", 9, None), command("getStreamLength", 10, None, "x")]))

    assert session.wish is not None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(b"GET / HTTP/1.1", "version 3", id="http"),
        pytest.param(b"\x06", "version 3", id="encrypted"),
        pytest.param(GREETING + ChunkWriter().write(3, command(1)), "a command's name", id="no-name"),
        pytest.param(GREETING + ChunkWriter().write(3, command()), "a command's name", id="empty"),
        pytest.param(GREETING + b"\3\0\0\0\0\xff\xff\x14\0\0\0\0", "a message of at most", id="long"),
    ],
)
def test_what_is_not_rtmp_is_refused(sent: bytes, expected: str) -> None:
    """With what was expected."""
    with pytest.raises(RtmpError, match=expected):
        PublishSession().receive(sent)


def test_playing_is_refused() -> None:
    """There is nothing to play."""
    session = PublishSession()

    answer = session.receive(
        GREETING + ChunkWriter().write(3, command("connect", 1, {}), command("play", 0, None, "x"))
    )

    assert session.refused
    assert commands(answer)[-1][3]["code"] == "NetStream.Play.Failed"
