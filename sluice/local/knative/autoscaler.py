"""How many instances a function should have, decided from its load as Knative's autoscaler does; pure."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from sluice.local.manifests.specs import Scale

TICK_S: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Autoscaler:
    """Decides once a tick from the mean number of requests, as Knative's pod autoscaler does.

    The mean over the window decides; the mean over a tenth of it (the panic window) may only ask for more. Zero needs
    a whole window without any request, and then the retention period.
    """

    scale: Scale
    limit: int
    """Instances at most, whatever the annotations allow."""
    _loads: deque[float] = field(default_factory=deque)
    _wanted: deque[int] = field(default_factory=deque)

    def decide(self, load: float) -> int:
        """The number of instances to have, after a tick with a mean of *load* requests at once."""
        scale = self.scale
        _push(self._loads, load, scale.window_s + scale.retention_s)
        window = list(self._loads)[-_ticks(scale.window_s) :]
        panic = window[-_ticks(scale.window_s / 10) :]
        # A window that is not full yet counts as if it were: the first request of a quiet day is no burst.
        mean = max(sum(window) / _ticks(scale.window_s), sum(panic) / len(panic))
        wanted = math.ceil(mean / scale.target) or (1 if any(self._loads) else 0)
        _push(self._wanted, wanted, scale.down_delay_s or TICK_S)
        return min(max(*self._wanted, scale.minimum, 0), self.limit)


def _ticks(seconds: float) -> int:
    return max(1, round(seconds / TICK_S))


def _push(history: deque[Any], value: Any, seconds: float) -> None:
    history.append(value)
    while len(history) > _ticks(seconds):
        history.popleft()
