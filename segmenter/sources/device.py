"""A camera at this machine's own bus, by Video4Linux."""

import stat
import threading
from pathlib import Path
from typing import Final

import av
import av.error
import av.logging

from segmenter.source import SourceError
from segmenter.sources.network import NetworkConnection
from segmenter.sources.protocols import options
from segmenter.sources.refusals import refused
from sluice.address import SourceAddress

OPEN_S: Final = 10.0
_TOLD: Final = {"size": "video_size", "fps": "framerate", "format": "input_format"}


class DeviceSource:
    """One a camera."""

    def __init__(self, address: SourceAddress, *, silent_s: float) -> None:
        self._address, self._silent_s = address, silent_s
        self._stopped = threading.Event()

    def open(self) -> NetworkConnection:
        """As Source has it; raises SourceError(no-device) when there is none."""
        address = self._address
        _check(address)
        av.logging.set_level(None)
        told = {_TOLD[name]: value for name, value in address.options.items()}
        try:
            container = av.open(
                address.url,
                "r",
                format="v4l2",
                options=options(address) | told,
                timeout=(OPEN_S, self._silent_s),
            )
        except (av.error.FFmpegError, MemoryError, ValueError) as error:
            raise refused(error, address, allowed=OPEN_S) from error
        try:
            return NetworkConnection(container, address, stopped=self._stopped, gather_s=0.0, silent_s=self._silent_s)
        except SourceError:
            container.close()
            raise

    def interrupt(self) -> None:
        """As Source has it."""
        self._stopped.set()


def _check(address: SourceAddress) -> None:
    path = Path(address.url)
    try:
        found = path.stat()
        if stat.S_ISCHR(found.st_mode) and path.name.startswith("video"):
            return
        said = "something that is no camera"
    except OSError as error:
        said = f"none ({error.strerror})"
    raise SourceError("no-device", f"expected a camera at {address.url}, as in /dev/video0, found {said}")
