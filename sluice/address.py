"""Where a camera is pulled from: the operator's URL, read into what the library is told and what we are told. Pure."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sluice.errors import UnusableInputError

SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "file", "v4l2", "test", "udp", "rtp")
SECURED: Final = ("rtsps", "rtmps", "https")
LONGEST: Final = 2048
WHERE: Final = "source"
_RECEIVED: Final = ("udp", "rtp")
_OURS_ALONE: Final = {
    "file": frozenset({"loop"}),
    "v4l2": frozenset({"size", "fps", "format"}),
    "udp": frozenset({"allow"}),
    "rtp": frozenset({"allow"}),
}
"""Schemes whose query no server sees, and what may stand there; what test:// takes its reader says."""
_SECRET: Final = re.compile(
    # Some cameras want the password in the path, as in /user=admin_password=secret_channel=1.
    r"((?:^|[^a-z0-9])[a-z0-9.-]*(?:key|token|pas|pwd|secret|auth|sig|credential)[a-z0-9.-]*=)[^&;#\s]*",
    re.IGNORECASE,
)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*:/\S*", re.IGNORECASE)
_USER: Final = re.compile(r"(//)([^:/?#@]*)(:?).*@", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAddress:
    """A source that can be opened."""

    scheme: str
    """One of SCHEMES."""
    url: str = field(repr=False)
    """For the library: without our options. A path for file and v4l2; scheme, host and port for udp and rtp."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Ours, from the query."""

    @property
    def shown(self) -> str:
        """For people; without passwords."""
        return redacted(self.url)

    def __str__(self) -> str:
        return self.shown


def redacted(text: str) -> str:
    """*text* with *** for every password, key and token of the URLs in it; rather too much than too little."""
    return _URL.sub(lambda found: _masked(found[0]), text)


def parse_source(text: str) -> SourceAddress:
    """The address that *text* names; raises UnusableInputError, without passwords, when there is none."""
    if len(text) > LONGEST:
        raise _unusable(f"a URL of at most {LONGEST} characters", f"{len(text)} characters")
    # A line break in a URL is a header of its own in the request.
    if not text.isprintable() or any(letter.isspace() for letter in text):
        raise _unusable("a URL without spaces and line breaks", repr(_masked(text)))
    scheme = text.partition(":")[0].lower()
    if scheme not in SCHEMES or ":" not in text:
        raise _unusable(f"a URL with one of {', '.join(SCHEMES)}", repr(_masked(text)))
    try:
        pieces = urlsplit(text)
        port = pieces.port
    except ValueError as error:
        # urlsplit quotes what it stumbles over, which may be half a password.
        expected = "a URL whose user and password have their special characters percent-encoded"
        raise _unusable(expected, repr(_masked(text))) from error
    match scheme:
        case "file" | "v4l2":
            return _local(text, scheme, pieces)
        case "test":
            return SourceAddress(scheme=scheme, url="test:", options=_query(text, pieces, None))
        case _ if scheme in _RECEIVED:
            return _received(text, scheme, pieces, port)
        case _:
            return _remote(text, scheme, pieces, port)


def _remote(text: str, scheme: str, pieces: SplitResult, port: int | None) -> SourceAddress:
    if not pieces.hostname or port == 0:
        raise _unusable(f"{scheme}://HOST[:PORT]/PATH", repr(_masked(text)))
    url, ours = text.partition("#")[0], dict[str, str]()
    if scheme in SECURED and pieces.query:
        # The rest belongs to the camera: not one character of it changes.
        head, _, query = url.partition("?")
        mine = [each for each in query.split("&") if each.startswith("tls=")]
        if any(each != "tls=insecure" for each in mine):
            raise _unusable("tls=insecure, or no tls", mine[0][:40])
        rest = "&".join(each for each in query.split("&") if each not in mine)
        url, ours = f"{head}?{rest}" if rest else head, dict(each.split("=") for each in mine)
    return SourceAddress(scheme=scheme, url=scheme + url[len(scheme) :], options=ours)


def _received(text: str, scheme: str, pieces: SplitResult, port: int | None) -> SourceAddress:
    """What is sent to a port of ours: UDP carries no key, so it has to be said who may send."""
    form = f"{scheme}://HOST:PORT?allow=NETWORK[,NETWORK], with 0.0.0.0/0 for anybody"
    options = _query(text, pieces, _OURS_ALONE[scheme])
    if not port or pieces.path not in ("", "/") or "@" in pieces.netloc or not options.get("allow"):
        raise _unusable(form, repr(_masked(text)))
    try:
        for each in options["allow"].split(","):
            ipaddress.ip_network(each, strict=False)
    except ValueError as error:
        raise _unusable(form, repr(options["allow"][:80])) from error
    return SourceAddress(scheme=scheme, url=f"{scheme}://{pieces.netloc}", options=options)


def _local(text: str, scheme: str, pieces: SplitResult) -> SourceAddress:
    path = unquote(pieces.path)
    if pieces.netloc not in ("", "localhost") or not path.startswith("/") or not path.isprintable() or pieces.fragment:
        raise _unusable(f"{scheme}:///PATH, with %23 for # and %3F for ?", repr(_masked(text)))
    return SourceAddress(scheme=scheme, url=path, options=_query(text, pieces, _OURS_ALONE[scheme]))


def _query(text: str, pieces: SplitResult, known: frozenset[str] | None) -> dict[str, str]:
    """The query by name; a name that nobody knows, or that stands twice, is a mistake."""
    found = parse_qsl(pieces.query, keep_blank_values=True)
    options = dict(found)
    if len(options) < len(found):
        raise _unusable("each option once", repr(_masked(text)))
    strange = set(options) - known if known is not None else set()
    if strange:
        raise _unusable(f"the options {', '.join(sorted(known or ()))}", ", ".join(sorted(strange))[:80])
    return options


def _masked(url: str) -> str:
    """One URL: up to its last @ all is taken for user and password, as a password may hold anything."""
    user = _USER.search(url)
    if user:
        kept = f"{user[2]}:***" if user[3] else "***"
        url = f"{url[: user.start()]}//{kept}@{url[user.end() :]}"
    return _SECRET.sub(r"\1***", url)[:200]


def _unusable(expected: str, found: str) -> UnusableInputError:
    return UnusableInputError(expected, found, WHERE)
