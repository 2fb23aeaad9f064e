"""Knative's autoscaling annotations, within its bounds; pure."""

import math
from typing import Any, Final

from sluice.local.manifests.fields import Section, go_seconds
from sluice.local.manifests.specs import Scale

PREFIX: Final = "autoscaling.knative.dev/"
_WITHOUT_MEANING: Final = ("initial-scale", "activation-scale", "target-burst-capacity", "panic-window-percentage")
"""Accepted; a local ksvc starts at min-scale, and its listener holds every burst."""
_DEFAULT_TARGET: Final = 100.0


def refuse_misplaced(annotations: Section | None) -> None:
    """On the ksvc itself the autoscaler would not see them: Knative's webhook refuses them there."""
    for name in (each for each in annotations or () if each.startswith(PREFIX)):
        assert annotations is not None  # noqa: S101 (the loop has no turn without them)
        annotations.refuse(name, "belongs to spec.template.metadata.annotations")


def scale_of(annotations: Any, *, concurrency: int) -> Scale:
    """Read the template's annotations; what is unknown or out of Knative's bounds is refused."""
    said: dict[str, float] = {}
    for name, value in annotations.items():
        if name.startswith(PREFIX):
            reader, low, high = _KNOWN.get(name.removeprefix(PREFIX), (_unknown, 0.0, 0.0))
            number = reader(value)
            if number is None or not low <= number <= high:
                wanted = f"expected a value from {low:g} to {high:g}" if high else "unknown or unsupported annotation"
                annotations.refuse(name, f"{wanted}, found {value!r}")
            else:
                said[name.removeprefix(PREFIX)] = number
    least, most = int(said.get("min-scale", 0)), int(said.get("max-scale", 0))
    if most and least > most:
        annotations.refuse(PREFIX + "min-scale", f"{least} is more than max-scale {most}")
    target = min(said.get("target", math.inf), concurrency or math.inf)
    target = _DEFAULT_TARGET if math.isinf(target) else target
    return Scale(
        minimum=least,
        maximum=most,
        target=target * said.get("target-utilization-percentage", 70) / 100,
        window_s=said.get("window", 60),
        down_delay_s=said.get("scale-down-delay", 0),
        retention_s=said.get("scale-to-zero-pod-retention-period", 0),
    )


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _count(value: str) -> float | None:
    return float(value) if value.isdecimal() else None


def _unknown(_value: str) -> float | None:
    return None


def _only(wanted: str) -> Any:
    return lambda value: 0.0 if value == wanted else None


_KNOWN: Final[dict[str, tuple[Any, float, float]]] = {
    "min-scale": (_count, 0, 1000),
    "max-scale": (_count, 0, 1000),
    "target": (_number, 0.01, 1e6),
    "target-utilization-percentage": (_number, 1, 100),
    "window": (go_seconds, 6, 3600),
    "scale-down-delay": (go_seconds, 0, 3600),
    "scale-to-zero-pod-retention-period": (go_seconds, 0, 3600),
    "metric": (_only("concurrency"), 0, 0),
    "class": (_only("kpa.autoscaling.knative.dev"), 0, 0),
    **dict.fromkeys(_WITHOUT_MEANING, (_number, -1, 1e6)),
}
