"""The source that a camera's configuration asks for."""

import logging

from segmenter.source import Connection, Source, SourceError
from sluice.address import parse_source
from sluice.contracts.camera import Camera
from sluice.errors import UnusableInputError

log = logging.getLogger("segmenter.sources")


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
        return _Refused(str(error))
    except Exception as error:  # told as the camera's trouble, which a camera without a source could not be
        log.exception("camera %s", camera.name)
        return _Refused(f"{type(error).__name__} in the segmenter")


class _Refused:
    def __init__(self, why: str) -> None:
        self._why = why

    def open(self) -> Connection:
        raise SourceError("unsupported", self._why, final=True)

    def interrupt(self) -> None:
        """Nothing to interrupt."""
