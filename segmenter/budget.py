"""How much work a stream may cost: not more than the time that it lasts; pure."""

from typing import Final

SHARE: Final = 0.9
"""Of the time that the pictures last; the rest catches up."""
DEBT_S: Final = 0.5
"""A hiccup that nobody notices."""
HOPELESS_S: Final = 2.0


class Budget:
    """Time earned by pictures that arrive, spent on converting them; what the camera's clock says of now is unused.

    So a clock that runs slow, or a machine that slept, is never taken for being behind.
    """

    def __init__(self) -> None:
        self._debt_s = 0.0

    def earn(self, lasts_s: float) -> None:
        """A picture came, so long after the one before."""
        self._debt_s = max(0.0, self._debt_s - SHARE * min(max(lasts_s, 0.0), 1.0))

    def spend(self, took_s: float) -> None:
        """Converting took so long."""
        self._debt_s = min(self._debt_s + took_s, HOPELESS_S)

    @property
    def spent(self) -> bool:
        """Whether the next picture is to be left out."""
        return self._debt_s > DEBT_S

    @property
    def hopeless(self) -> bool:
        """Whether leaving out pictures after decoding them does not help."""
        return self._debt_s >= HOPELESS_S
