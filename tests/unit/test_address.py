"""What operators write as the source of a camera, and what nobody may read of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sluice.address import SCHEMES, SECURED, parse_source, redacted
from sluice.errors import UnusableInputError


def test_the_library_gets_a_cameras_url_as_it_was_written() -> None:
    """A camera's own query is the camera's: its order, its escapes, its odd characters."""
    text = "rtsp://admin:p%40ss@10.0.0.7:554/cam/realmonitor?channel=1&subtype=0&tls=yes&x=%2F+"

    address = parse_source(text)

    assert address.scheme == "rtsp"
    assert address.url == text
    assert address.options == {}


@pytest.mark.parametrize("scheme", SECURED)
def test_certificates_are_not_checked_when_the_operator_says_so(scheme: str) -> None:
    """The option is ours: the camera does not see it."""
    address = parse_source(f"{scheme}://cam.test/live?a=1&tls=insecure&b=%20")

    assert address.url == f"{scheme}://cam.test/live?a=1&b=%20"
    assert address.options == {"tls": "insecure"}


def test_a_query_that_was_ours_alone_leaves_no_question_mark() -> None:
    """Some servers take the empty query for another path."""
    assert parse_source("https://cam.test/live?tls=insecure").url == "https://cam.test/live"


@pytest.mark.parametrize(
    ("text", "url", "options"),
    [
        ("file:///clips/a%20b%3F.mp4?loop=1", "/clips/a b?.mp4", {"loop": "1"}),
        ("file:/clips/a.mp4", "/clips/a.mp4", {}),
        ("v4l2:///dev/video0?size=640x480&fps=15", "/dev/video0", {"size": "640x480", "fps": "15"}),
        ("test://?size=1280x720&fps=25&codec=h264", "test:", {"size": "1280x720", "fps": "25", "codec": "h264"}),
        ("udp://0.0.0.0:5000?allow=10.0.0.0/8,192.168.1.7", "udp://0.0.0.0:5000", {"allow": "10.0.0.0/8,192.168.1.7"}),
        ("rtp://[::]:5004?allow=fd00::/8", "rtp://[::]:5004", {"allow": "fd00::/8"}),
        ("RTSP://Cam.test/Live", "rtsp://Cam.test/Live", {}),
        ("http://cam.test/v.ts#t=3", "http://cam.test/v.ts", {}),
    ],
)
def test_each_scheme_has_its_form(text: str, url: str, options: dict[str, str]) -> None:
    """What is left of the URL is what the reader of that scheme takes."""
    address = parse_source(text)

    assert (address.url, address.options) == (url, options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a URL with one of"),
        ("/clips/a.mp4", "a URL with one of"),
        ("rtsp", "a URL with one of"),
        ("concat:file:///a|file:///b", "a URL with one of"),
        ("rtsp://cam.test/a b", "without spaces"),
        ("http://cam.test/a\r\nX-Header: 1", "without spaces"),
        ("http://cam.test/a\x00b", "without spaces"),
        ("rtsp:///live", "rtsp://HOST"),
        ("rtsp://cam.test:0/live", "rtsp://HOST"),
        ("rtsp://cam.test:99999/live", "percent-encoded"),
        ("rtsp://admin:a#b@cam.test/", "percent-encoded"),
        ("https://cam.test/?tls=off", "tls=insecure"),
        ("file:///a.mp4?lop=1", "the options loop"),
        ("file://server/a.mp4", "file:///PATH"),
        ("file:a.mp4", "file:///PATH"),
        ("file:///a%00b", "file:///PATH"),
        ("file:///a?loop=1&loop=0", "each option once"),
        ("udp://0.0.0.0:5000", "allow=NETWORK"),
        ("udp://0.0.0.0?allow=10.0.0.0/8", "allow=NETWORK"),
        ("rtp://0.0.0.0:5000?allow=everyone", "allow=NETWORK"),
        ("rtsp://cam.test/" + "a" * 3000, "at most 2048"),
    ],
)
def test_a_url_that_cannot_be_opened_says_what_was_expected(text: str, said: str) -> None:
    """The sentence is for the operator who wrote it."""
    with pytest.raises(UnusableInputError) as refused:
        parse_source(text)

    assert said in refused.value.expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:s3cret@cam.test/live", "rtsp://admin:***@cam.test/live"),
        ("rtsp://admin:s3@cr/e?t@cam.test/live", "rtsp://admin:***@cam.test/live"),
        ("rtsp://s3cret@cam.test/live", "rtsp://***@cam.test/live"),
        ("http://cam.test/v?channel=1&token=s3cret&x=2", "http://cam.test/v?channel=1&token=***&x=2"),
        ("http://cam.test/v?usr=me&loginpas=s3cret", "http://cam.test/v?usr=me&loginpas=***"),
        ("rtsp://cam.test/user=a_password=s3cret_channel=1.sdp", "rtsp://cam.test/user=a_password=***"),
        ("http://cam.test/v?X-Amz-Signature=s3cret", "http://cam.test/v?X-Amz-Signature=***"),
        ("ends: rtsp://a:s3cret@h/1 and http://h/?key=s3cret", "ends: rtsp://a:***@h/1 and http://h/?key=***"),
        ("no URL, key=kept", "no URL, key=kept"),
    ],
)
def test_secrets_are_masked_and_the_rest_is_legible(text: str, shown: str) -> None:
    """In passwords, keys and tokens, wherever cameras want them."""
    assert redacted(text) == shown


def test_an_address_can_be_logged() -> None:
    """Neither its text nor its representation gives a password away."""
    address = parse_source("rtsp://admin:s3cret@cam.test/live")

    assert "s3cret" not in f"{address} {address!r} {address.shown}"


@given(
    scheme=some.sampled_from(SCHEMES),
    password=some.text(min_size=6, max_size=20).map(lambda text: f"<{text}>"),
    rest=some.sampled_from(["cam.test/live", "cam.test:99999/", "", "cam test/", "cam.test:5000?allow=x"]),
)
def test_no_error_gives_a_password_away(scheme: str, password: str, rest: str) -> None:
    """Whatever it is made of, and whatever is wrong with the URL."""
    try:
        said = str(parse_source(f"{scheme}://admin:{password}@{rest}"))
    except UnusableInputError as error:
        said = str(error)

    assert password not in said
    assert repr(password)[1:-1] not in said
