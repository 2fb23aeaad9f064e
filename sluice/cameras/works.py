"""What a function is to do with a camera: what its settings say, else the function's own."""

from dataclasses import replace
from typing import Final

from sluice.contracts.camera import Camera, Work

MODELS: Final = {"detect": "objects"}
"""By function, the model that is meant where none is named; a function that is not here has no model."""


def works_of(camera: Camera | None, function: str) -> tuple[Work, ...]:
    """One entry a model; none at all where the camera says so, as in `detect: []`."""
    own = MODELS[function]
    said = (Work(),) if camera is None else camera.functions.get(function, (Work(),))
    return tuple(replace(work, model=work.model or own) for work in said)
