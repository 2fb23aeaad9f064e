"""Chunked bodies come apart the same way wherever the network cuts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.ingest.chunked import BrokenChunksError, Chunked


def encoded(pieces: list[bytes], *, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = [b"%X%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces if piece]
    return b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


def decoded(raw: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    chunks, at, payload = Chunked(), 0, b""
    for cut in [*sorted(each % (len(raw) + 1) for each in cuts), len(raw)]:
        payload += chunks.feed(raw[at:cut])
        at = cut
    return payload, chunks.over


@given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(0, 1000), max_size=12))
def test_a_body_is_the_same_wherever_it_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """Nothing lost, nothing doubled, and the end is seen."""
    assert decoded(encoded(pieces), cuts) == (b"".join(pieces), True)


def test_extensions_and_trailers_are_no_payload() -> None:
    """RFC 9112 allows both; nobody here wants them."""
    raw = encoded([b"abc", b"de"], extension=b';name="x"', trailers=b"X: y\r\nZ: 1\r\n")

    assert decoded(raw, [4, 9, 20, 30]) == (b"abcde", True)


def test_what_comes_behind_the_end_is_no_payload() -> None:
    """A connection carries one push."""
    assert decoded(encoded([b"abc"]) + b"3\r\nxyz\r\n", []) == (b"abc", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"xyz\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"123456789\r\n",
        b"3;" + b"x" * 300,
        b"0" * 300,
        b"0\r\n" + b"X: y\r\n" * 1000,
    ],
)
def test_broken_chunks_are_refused_within_bounds(raw: bytes) -> None:
    """A size is a line of at most 256 bytes, and trailers end."""
    with pytest.raises(BrokenChunksError):
        decoded(raw, list(range(0, len(raw), 7)))


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_any_bytes_are_chunks_or_refused(raw: bytes, cuts: list[int]) -> None:
    """No other error comes out of a body."""
    try:
        payload, _ = decoded(raw, cuts)
    except BrokenChunksError:
        return
    assert len(payload) <= len(raw)
