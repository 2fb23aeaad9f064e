"""Times that the library leaves out."""

from fractions import Fraction
from typing import Final

from segmenter.tracks import AnyPacket

CLOCK: Final = Fraction(1, 90_000)


def arrived(packet: AnyPacket, at_s: float) -> None:
    """A picture that carries no time has that of its arrival."""
    packet.time_base = CLOCK
    packet.pts = packet.dts = round(at_s / CLOCK)
    packet.duration = 0


def heard_after(packet: AnyPacket, before: int | None, ticks: int) -> None:
    """Sound follows what came before it, and lasts *ticks*.

    A PES packet has one time for all its frames of sound: those that the library reads before it knows their rate
    are without.
    """
    if packet.pts is None and before is not None and ticks:
        packet.pts = packet.dts = before + ticks
    packet.duration = packet.duration or ticks
