"""Why a source gives no video: the library's errors as reasons that a program, and sentences that people understand."""

import errno
from typing import Final

import av.error

from segmenter.source import SourceError
from sluice.address import SECURED, SourceAddress

_KINDS: Final[tuple[tuple[tuple[type[BaseException], ...], str, str], ...]] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        "unauthorized",
        "expected a user and password that it accepts, it refuses {given}",
    ),
    ((av.error.HTTPNotFoundError,), "not-found", "it is there, but has no such path"),
    ((av.error.HTTPServerError,), "unreachable", "its server answers with an error of its own (5xx)"),
    ((av.error.HTTPClientError,), "unreachable", "its server refuses the request ({text})"),
    ((av.error.ConnectionRefusedError,), "unreachable", "nothing listens at that address and port"),
    ((av.error.TimeoutError,), "unreachable", "nothing answers at that address"),
    ((av.error.ExitError,), "silent", "it was reached, but sent no video within {waited:g} s"),
    ((av.error.EOFError,), "ended", "it closed the connection before there was video"),
    ((av.error.ConnectionResetError, av.error.BrokenPipeError), "ended", "it broke the connection off"),
    ((av.error.FileNotFoundError,), "not-found", "there is no such file"),
    ((av.error.PermissionError,), "unauthorized", "the segmenter may not read it"),
    ((MemoryError,), "too-large", "expected a few streams and small tables, found more than is let in"),
    (
        (av.error.ArgumentError,),
        "unsupported",
        "it is of a format, or leads to a place, that is not let in",
    ),
    (
        (av.error.ProtocolNotFoundError, av.error.PatchWelcomeError, av.error.NotImplementedError),
        "unsupported",
        "it asks for something that is not supported ({text})",
    ),
)
_DISGUISED: Final = (av.error.InvalidDataError, av.error.ExitError)
"""RTSP makes the first of the second."""
_NETWORK: Final = {
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.ENOTCONN,
    errno.EPROTO,
}


def refused(error: BaseException, address: SourceAddress, *, allowed: float, waited: float = 0.0) -> SourceError:
    """What it means that *address* could not be opened, after so many seconds."""
    if isinstance(error, _DISGUISED) and waited >= allowed:
        return _error("silent", f"it was reached, but sent no video within {allowed:g} s", address)
    text = _text(error)
    for kinds, reason, sentence in _KINDS:
        if isinstance(error, kinds):
            given = "the ones given" if "@" in address.url else "to show it without"
            return _error(reason, sentence.format(given=given, text=text, waited=allowed), address)
    reason, sentence = _by_code(getattr(error, "errno", None), address, text)
    if isinstance(error, av.error.UnknownError) and address.scheme.startswith("rtmp"):
        reason, sentence = "not-found", "its server refuses to play a stream of that name"
    return _error(reason, sentence, address)


def _by_code(code: int | None, address: SourceAddress, text: str) -> tuple[str, str]:
    if code == errno.EPROTONOSUPPORT:
        return "unsupported", "it sends neither over TCP nor over UDP"
    if code in _NETWORK:
        return "unreachable", f"no connection ({text})"
    if code == errno.EIO and address.scheme in SECURED and address.options.get("tls") != "insecure":
        # The library says no more of a certificate that it does not trust.
        said = "no secure connection came about; if its certificate is its own, as cameras' mostly are, add "
        return "unreachable", said + "tls=insecure to the URL's query"
    return "garbage", f"expected video in a known container, found something else ({text})"


def broken(error: BaseException, address: SourceAddress) -> SourceError:
    """What it means that *address* gave video, and then an error."""
    if isinstance(error, MemoryError):
        return _error("too-large", "a packet that does not fit in memory", address)
    if isinstance(error, av.error.InvalidDataError):
        return _error("garbage", "what came after some video is none", address)
    return _error("ended", f"the connection broke ({_text(error)})", address)


def _error(reason: str, sentence: str, address: SourceAddress) -> SourceError:
    return SourceError(reason, f"{address.shown}: {sentence}")


def _text(error: BaseException) -> str:
    # Not str(error), which has the URL in it.
    return str(getattr(error, "strerror", None) or type(error).__name__)
