"""Fragmented MP4 without an end comes in pieces that have one, and nothing is lost between them."""

import io

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.pattern import pattern_clip
from segmenter.source import SourceError
from segmenter.sources import fragments as module
from segmenter.sources.feed import Feed, FeedConnection
from segmenter.sources.fragments import Fragments


def box(kind: bytes, size: int = 5) -> bytes:
    return (size + 8).to_bytes(4, "big") + kind + kind[:1] * size


def wide(kind: bytes, size: int) -> bytes:
    return b"\0\0\0\1" + kind + (size + 16).to_bytes(8, "big") + kind[:1] * size


INIT = box(b"ftyp", 20) + box(b"moov", 90)
FRAGMENT = box(b"moof", 30) + wide(b"mdat", 50)


class Bytes:
    """A sender, by so many bytes at a time."""

    failure: SourceError | None = None

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._file, self._sizes = io.BytesIO(data), sizes

    def read(self, most: int) -> bytes:
        """As a socket gives it."""
        self._sizes.append(self._sizes.pop(0))
        return self._file.read(min(most, self._sizes[-1]))


def pieces(data: bytes, sizes: list[int], *, most: int, fragments: int) -> list[bytes]:
    reader = Fragments(Bytes(data, sizes), fragments=fragments)
    found = [b""]
    while True:
        while got := reader.read(most):
            assert len(got) <= most  # the library copies it to a buffer of that size
            found[-1] += got
        if not reader.goes_on():
            return found
        found.append(b"")


@given(st.lists(st.integers(1, 200), min_size=1, max_size=9), st.integers(1, 200), st.integers(1, 4), st.integers(0, 9))
def test_each_piece_is_an_init_segment_with_whole_fragments(sizes: list[int], most: int, each: int, count: int) -> None:
    """However the network cuts them."""
    found = pieces(INIT + FRAGMENT * count, sizes, most=most, fragments=each)

    whole, rest = divmod(count, each)
    expected = [INIT + FRAGMENT * each] * whole + ([INIT + FRAGMENT * rest] if rest or not count else [])
    assert found == expected


@given(st.binary(max_size=300), st.lists(st.integers(1, 99), min_size=1, max_size=5), st.integers(1, 99))
def test_what_is_not_mp4_passes_as_it_came(data: bytes, sizes: list[int], most: int) -> None:
    """The demuxer says what it is not."""
    assert b"".join(pieces(data, sizes, most=most, fragments=1_000)) == data


def test_an_init_segment_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept, so it is bounded."""
    monkeypatch.setattr(module, "_INIT_MAX", 50)

    with pytest.raises(SourceError, match="garbage"):
        pieces(INIT, [9], most=99, fragments=1)


def test_no_picture_is_lost_between_two_demuxers(monkeypatch: pytest.MonkeyPatch) -> None:
    """And their times go on."""
    clip = pattern_clip(size=(160, 90), seconds=4, gop=10, audio=True)
    fragmented = io.BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(io.BytesIO(clip), "r") as source, av.open(fragmented, "w", format="mp4", options=flags) as output:
        targets = {each.index: output.add_stream_from_template(each) for each in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = targets[packet.stream_index]
                output.mux(packet)
    monkeypatch.setattr(Fragments.__init__, "__kwdefaults__", {"begun": b"", "fragments": 3})

    with av.open(io.BytesIO(fragmented.getvalue()), "r") as plain:
        expected = [seen(packet) for packet in plain.demux() if packet.size]
    connection = FeedConnection(Feed(Bytes(fragmented.getvalue(), [999]), silent_s=5), gather_s=0)
    came = [seen(packet) for packet in connection.packets()]
    demuxers = len(connection._later)
    connection.close()

    assert demuxers > 1
    assert sorted(came) == sorted(expected)
    video = [each for each in came if each[0] == 0]
    assert video == [each for each in expected if each[0] == 0]


def seen(packet: av.Packet) -> tuple[int, int, int, bytes]:  # type: ignore[type-arg]
    return packet.stream_index, packet.dts or 0, packet.pts or 0, bytes(packet)
