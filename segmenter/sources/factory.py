"""The source that a camera's configuration asks for."""

from segmenter.source import Connection, Source, SourceError
from sluice.address import parse_source
from sluice.contracts.camera import Camera
from sluice.errors import UnusableInputError


def source_of(camera: Camera, *, silent_s: float) -> Source:
    """Make it; what cannot be understood becomes a source that says so, once."""
    if not camera.source:
        from segmenter.sources.pushed import PushedSource

        return PushedSource(silent_s=silent_s)
    try:
        address = parse_source(camera.source)
        if address.scheme == "test":
            from segmenter.sources.testpattern import testpattern

            return testpattern(address.options)
        if address.scheme in ("udp", "rtp"):
            from segmenter.sources.datagrams import datagrams

            return datagrams(address, silent_s=silent_s)
        from segmenter.sources.pulled import pulled

        return pulled(address, silent_s=silent_s)
    except UnusableInputError as error:
        return _Refused(error)


class _Refused:
    def __init__(self, error: UnusableInputError) -> None:
        self._error = error

    def open(self) -> Connection:
        raise SourceError("unsupported", str(self._error), final=True)

    def interrupt(self) -> None:
        """Nothing to interrupt."""
