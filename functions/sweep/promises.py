"""What the Triggers promise: which function answers for which chunks. Pure but for reading the folder."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sluice.cameras.works import MODELS, works_of
from sluice.contracts.camera import Camera
from sluice.contracts.chunk import ChunkStored
from sluice.errors import SettingsError
from sluice.filters import Filter, passes
from sluice.names import ChunkName

MARK: Final = "sluice.dev/mark"
"""Annotation of a Trigger: `result` (each chunk has a result object; the default), `state` (its function folds chunks
into one object, which says how far it has come), or `none`: nothing says so."""
RESULT, STATE, NONE = "result", "state", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Of one Trigger."""

    trigger: str
    function: str
    filters: tuple[Filter, ...]
    mark: str = RESULT

    def covers(self, chunk: ChunkName) -> bool:
        """Whether the function answers for a chunk; its name says all that a filter may ask."""
        attributes = {
            "type": ChunkStored.TYPE,
            "source": f"/cameras/{chunk.camera}/bridge",
            "subject": chunk.camera,
            "partitionkey": chunk.camera,
            "activity": chunk.activity,
            "sequence": f"{chunk.seq:010d}",
            "attempt": "0",
        }
        return passes(self.filters, attributes)

    def works(self, camera: Camera | None) -> tuple[str, ...]:
        """The results that each chunk has: <function>, or <function>-<model> for each of the camera's models."""
        if self.function not in MODELS:
            return (self.function,)
        return tuple(f"{self.function}-{work.model}" for work in works_of(camera, self.function))


def read_promises(folders: str) -> tuple[Promise, ...]:
    """From the Triggers in *folders* (several are parted as in PATH); raises SettingsError for what is none."""
    found: dict[str, Promise] = {}
    for folder in filter(None, folders.split(os.pathsep)):
        if not Path(folder).is_dir():
            raise SettingsError((f"SLUICE_TRIGGERS: expected a folder of Triggers, found no {folder}",))
        for path in sorted(Path(folder).glob("*.yaml")):
            for document in _documents(path):
                promise = _promise(document)
                if promise is not None:
                    found[promise.trigger] = promise
    return tuple(found.values())


def _documents(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from (each for each in yaml.safe_load_all(path.read_text("utf-8")) if isinstance(each, dict))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError((f"SLUICE_TRIGGERS: {path.name}: {error}",)) from error


def _promise(document: Mapping[str, Any]) -> Promise | None:
    """None for anything but a Trigger of chunk.stored that leaves a mark."""
    if document.get("kind") != "Trigger":
        return None
    metadata, spec = document["metadata"], document["spec"]
    subscriber = spec.get("subscriber", {}).get("ref", {}).get("name")
    mark = metadata.get("annotations", {}).get(MARK, RESULT)
    if subscriber is None or mark not in (RESULT, STATE):
        return None
    promise = Promise(trigger=metadata["name"], function=subscriber, filters=tuple(_filters(spec)), mark=mark)
    return promise if _wants_chunks(promise.filters) else None


def _filters(spec: Mapping[str, Any]) -> Sequence[Filter]:
    if "filters" in spec:
        return list(spec["filters"])
    attributes = spec.get("filter", {}).get("attributes")
    return [{"exact": attributes}] if attributes else []


def _wants_chunks(filters: Sequence[Filter]) -> bool:
    """A Trigger that names another type is never about a chunk; one that names none gets everything, results too."""
    return any(item.get("exact", {}).get("type") == ChunkStored.TYPE for item in filters)
