"""AMF0: what was encoded is decoded, and nothing that is sent can exhaust the reader."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.ingest.rtmp_amf import DEPTH_MAX, VALUES_MAX, decode, encode
from segmenter.ingest.rtmp_error import RtmpError

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=DEPTH_MAX,
)


@given(st.lists(VALUES, max_size=5))
def test_values_come_back(values: list[object]) -> None:
    """In their order, and equal."""
    assert decode(encode(*values)) == values


def test_a_long_text_comes_back() -> None:
    """Beyond 64 KiB it has another marker."""
    assert decode(encode("x" * 70_000)) == ["x" * 70_000]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"\x06", None, id="undefined"),
        pytest.param(b"\x08\0\0\0\x09\0\1a\x01\x01\0\0\x09", {"a": True}, id="array-with-a-wrong-count"),
        pytest.param(b"\x0b" + struct.pack(">dh", 1000, 0), 1000.0, id="date"),
        pytest.param(b"\x0f\0\0\0\3<a>", "<a>", id="xml"),
        pytest.param(b"\x10\0\1T\0\1a\x05\0\0\x09", {"a": None}, id="typed-object"),
        pytest.param(b"\x02\0\1\xff", "�", id="not-utf-8"),
    ],
)
def test_rare_values_are_read(raw: bytes, value: object) -> None:
    """Encoders of all ages send them."""
    assert decode(raw) == [value]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"\x07\0\0", "a value of AMF0", id="reference"),
        pytest.param(b"\x02\xff\xffabc", "65535 more bytes", id="half-a-text"),
        pytest.param(b"\x0a\xff\xff\xff\xff", "a list of at most", id="endless-list"),
        pytest.param(b"\x03\0\1a" * 5000, f"{DEPTH_MAX} deep", id="deep-objects"),
        pytest.param(b"\x0a\0\0\0\1" * 5000, f"{DEPTH_MAX} deep", id="deep-lists"),
        pytest.param(b"\x05" * (VALUES_MAX + 1), f"at most {VALUES_MAX} values", id="many"),
        pytest.param(b"\x03\0\1a\x05", "2 more bytes", id="open-object"),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, expected: str) -> None:
    """With what was expected, in bounded depth."""
    with pytest.raises(RtmpError, match=expected):
        decode(raw)


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_refused(raw: bytes) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(RtmpError):
        decode(raw)
