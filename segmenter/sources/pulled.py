"""The source behind an address that the segmenter connects to by itself."""

from segmenter.source import Source
from sluice.address import SourceAddress


def pulled(address: SourceAddress, *, silent_s: float) -> Source:
    """Make it; nothing is connected yet. Raises UnusableInputError for options that make no sense."""
    match address.scheme:
        case "file":
            from segmenter.sources.file import FileSource

            return FileSource(address)
        case "v4l2":
            from segmenter.sources.device import DeviceSource

            return DeviceSource(address, silent_s=silent_s)
        case _:
            from segmenter.sources.network import NetworkSource

            return NetworkSource(address, silent_s=silent_s)
