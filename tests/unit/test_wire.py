"""CloudEvents of any type, in and out, as the HTTP binding has them."""

import json
from typing import Any

import pytest

from sluice.errors import InvalidEventError
from sluice.local.knative.wire import from_http, to_headers

BINARY = {"Ce-Specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "seen"}
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/x", "type": "seen"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


def structured(**more: Any) -> bytes:
    """An envelope with more in it."""
    return json.dumps(ENVELOPE | more).encode()


def test_binary_mode_is_read_and_written() -> None:
    """Names in any case; values are percent-decoded, and encoded again."""
    event = from_http({**BINARY, "ce-subject": "caf%C3%A9%20%22x%22", "content-type": "text/plain"}, b"data")

    assert event.attributes["subject"] == 'caf\u00e9 "x"'
    assert event.data == b"data"
    assert to_headers(event)["ce-subject"] == "caf%C3%A9%20%22x%22"
    assert to_headers(event)["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("more", "data", "content_type"),
    [
        pytest.param({"data": {"a": 1}}, b'{"a":1}', "application/json", id="an-object"),
        pytest.param({"data": "a"}, b'"a"', "application/json", id="json-text"),
        pytest.param({"data": "a", "datacontenttype": "text/plain"}, b"a", "text/plain", id="plain-text"),
        pytest.param({"data_base64": "AAE="}, b"\x00\x01", None, id="bytes"),
        pytest.param({}, b"", None, id="nothing"),
    ],
)
def test_structured_mode_is_read(more: dict[str, Any], data: bytes, content_type: str | None) -> None:
    """Data becomes the bytes that binary mode would carry."""
    event = from_http(STRUCTURED, structured(**more, attempt=3, last=True))

    assert (event.data, event.attributes.get("datacontenttype")) == (data, content_type)
    assert (event.attributes["attempt"], event.attributes["last"]) == ("3", "true")


def test_the_content_type_decides_the_mode() -> None:
    """A structured message may carry ce- headers too."""
    event = from_http({**BINARY, **STRUCTURED, "ce-type": "other"}, structured())

    assert event.attributes["type"] == "seen"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param({}, b"", id="nothing"),
        pytest.param({**BINARY, "ce-id": ""}, b"", id="an-empty-id"),
        pytest.param({**BINARY, "Ce-Specversion": "0.3"}, b"", id="another-version"),
        pytest.param({**BINARY, "ce-a_b": "1"}, b"", id="an-odd-name"),
        pytest.param({"content-type": "application/cloudevents-batch+json"}, b"[]", id="a-batch"),
        pytest.param(STRUCTURED, b"{", id="broken-json"),
        pytest.param(STRUCTURED, b"[" * 100_000, id="deep-json"),
        pytest.param(STRUCTURED, b"[]", id="a-list"),
        pytest.param(STRUCTURED, structured(time={}), id="an-object-as-attribute"),
        pytest.param(STRUCTURED, structured(data_base64="?"), id="no-base64"),
        pytest.param(STRUCTURED, structured(data_base64=1), id="a-number-as-base64"),
        pytest.param(STRUCTURED, b'{"specversion":"1.0"}', id="no-type"),
    ],
)
def test_what_is_no_event_is_refused(headers: dict[str, str], body: bytes) -> None:
    """Always as InvalidEventError, whatever was sent."""
    with pytest.raises(InvalidEventError):
        from_http(headers, body)
