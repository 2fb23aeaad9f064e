"""What reaches a store unchanged, for any text; and an answer that says one size and brings another."""

import time
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.errors import InvalidNameError, UnusableInputError
from sluice.s3 import answers
from sluice.storable import checked_key


@dataclass
class Answer:
    """A body in pieces, under headers that may lie."""

    pieces: list[bytes]
    headers: dict[str, str] = field(default_factory=dict)

    def read1(self, amount: int, *, decode_content: bool) -> bytes:
        """The next piece, never more than asked for."""
        assert not decode_content
        assert amount >= len(self.pieces[0] if self.pieces else b"")
        return self.pieces.pop(0) if self.pieces else b""


@given(st.text(max_size=40))
def test_a_key_that_is_taken_is_no_other_key_in_a_url(key: str) -> None:
    """urllib3 resolves dotted folders before it sends a path; what would change is refused."""
    from urllib3.util import parse_url

    try:
        checked_key(key)
    except InvalidNameError:
        return

    assert parse_url(f"http://host/bucket/{quote(key)}").path == f"/bucket/{quote(key)}"


def test_a_body_that_is_too_large_is_not_begun() -> None:
    """The size it says decides before a byte is read."""
    answer = Answer([b"x"], {"content-length": "26"})

    with pytest.raises(UnusableInputError, match="at most 25 bytes, found 26 bytes"):
        answers.read(answer, "key", limit=25, deadline=time.monotonic() + 10)

    assert answer.pieces == [b"x"]


def test_a_body_larger_than_it_said_is_left_at_the_limit() -> None:
    """The limit holds whatever the headers say."""
    answer = Answer([b"x" * 10] * 1000, {"content-length": "5"})

    with pytest.raises(UnusableInputError, match="at most 25 bytes, found 30 bytes"):
        answers.read(answer, "key", limit=25, deadline=time.monotonic() + 10)

    assert len(answer.pieces) == 997


def test_metadata_is_read_whatever_the_case_of_its_header() -> None:
    """Servers title-case header names, and proxies lower-case them."""
    answer = Answer([], {"X-Amz-Meta-Open-Gop": "Yes", "x-amz-meta-fps": "25", "X-Amz-Request-Id": "1", "ETag": '"e"'})

    assert answers.metadata(answer) == {"open-gop": "Yes", "fps": "25"}
