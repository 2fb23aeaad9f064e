"""Heads of requests: what is understood, and what is refused before anybody acts on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmenter.ingest.request import RefusedError, parse_head


def head(line: str = "PUT /ingest/gate HTTP/1.1", *fields: str) -> bytes:
    return "\r\n".join((line, "Host: sluice", *fields)).encode("latin-1")


def refused(raw: bytes) -> int:
    with pytest.raises(RefusedError) as caught:
        _ = parse_head(raw).camera
    return caught.value.status


def test_a_push_names_its_camera_and_shows_its_key() -> None:
    """By head field, as curl and ffmpeg can both send it."""
    request = parse_head(head("POST /ingest/gate-1 HTTP/1.1", "Authorization: Bearer s3cret", "Content-Length: 7"))

    assert (request.camera, request.key, request.length) == ("gate-1", "s3cret", 7)
    assert not request.chunked


def test_a_key_may_stand_in_the_query() -> None:
    """For senders that take an address and nothing else."""
    request = parse_head(head("PUT /ingest/gate?x=1&key=s%2B3 HTTP/1.1", "transfer-encoding: Chunked"))

    assert (request.camera, request.key, request.length) == ("gate", "s+3", None)
    assert request.chunked


def test_the_head_field_counts_more_than_the_query() -> None:
    """One key is shown, and which one does not depend on the reader."""
    request = parse_head(head("PUT /ingest/gate?key=two HTTP/1.1", "Authorization: bearer one"))

    assert request.key == "one"


def test_a_key_is_never_shown() -> None:
    """A request may be logged."""
    request = parse_head(head("PUT /ingest/gate?key=s3cret HTTP/1.1", "Authorization: Bearer s3cret"))

    assert "s3cret" not in repr(request)


@pytest.mark.parametrize("path", ["/ingest/", "/ingest/Gate", "/ingest/../health", "/ingest/a/b", "/ingest/a%2fb"])
def test_what_is_no_camera_id_has_no_path(path: str) -> None:
    """It reaches neither the table of cameras nor a log as a name."""
    assert refused(head(f"PUT {path} HTTP/1.1")) == 404


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("PUT /ingest/gate HTTP/2.0", (), 400),
        ("PUT  /ingest/gate HTTP/1.1", (), 400),
        ("put /ingest/gate HTTP/1.1", (), 400),
        ("\x16\x03\x01\x02\x00", (), 400),
        ("PUT http://[/ HTTP/1.1", (), 400),
        ("PUT / HTTP/1.1", ("Content-Length: -1",), 400),
        ("PUT / HTTP/1.1", ("Content-Length: 1, 1",), 400),
        ("PUT / HTTP/1.1", ("Content-Length: 1", "Content-Length: 1"), 400),
        ("PUT / HTTP/1.1", ("Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        ("PUT / HTTP/1.1", ("Transfer-Encoding: gzip, chunked",), 501),
        ("PUT / HTTP/1.1", ("Authorization: a", "Authorization: b"), 400),
        ("PUT / HTTP/1.1", (" folded",), 400),
        ("PUT / HTTP/1.1", ("Name : value",), 400),
        ("PUT / HTTP/1.1", ("Name: va\nlue",), 400),
        ("PUT / HTTP/1.1", tuple(f"X-{each}: 1" for each in range(200)), 400),
    ],
)
def test_a_head_that_two_readers_could_take_differently_is_refused(
    line: str, fields: tuple[str, ...], status: int
) -> None:
    """A proxy before us must not see another request than we do."""
    assert refused(head(line, *fields)) == status


@pytest.mark.parametrize(
    ("line", "field", "persistent"),
    [
        ("GET / HTTP/1.1", "X: y", True),
        ("GET / HTTP/1.1", "Connection: Close", False),
        ("GET / HTTP/1.0", "X: y", False),
        ("GET / HTTP/1.0", "Connection: keep-alive", True),
    ],
)
def test_a_connection_lasts_as_long_as_its_version_says(line: str, field: str, persistent: bool) -> None:
    """HTTP/1.1 stays, 1.0 goes, unless they say otherwise."""
    assert parse_head(head(line, field)).persistent is persistent


@given(st.binary(max_size=400))
def test_any_bytes_are_understood_or_refused(raw: bytes) -> None:
    """No other error comes out of a head."""
    try:
        request = parse_head(raw)
        _ = (request.camera, request.key, request.length, request.awaits_continue)
    except RefusedError:
        pass
