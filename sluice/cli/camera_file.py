"""cameras.yaml: a list of cameras in the contract's field names; every problem of the file is told, with its line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sluice.cameras import InvalidCameraError, parse
from sluice.contracts.camera import Camera
from sluice.errors import SluiceError

MAX_BYTES: Final = 4 << 20
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass
class CameraFileError(SluiceError):
    """Raised when a file describes something else than cameras; lists every problem."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A camera of the file."""

    camera: Camera
    said: frozenset[str]
    """The fields that the file names."""


def read(path: Path) -> dict[str, Described]:
    """The cameras of the file by name; raises CameraFileError."""
    document = _document(path)
    problems = [f"{path}:{line}: {text}" for line, text in _doubled(document, set())]
    found: dict[str, Described] = {}
    for node in document.value if document is not None else ():
        try:
            given = yaml.SafeLoader("").construct_document(node)
            camera = parse(given if isinstance(given, dict) else {})
        except (yaml.MarkedYAMLError, ValueError) as error:
            # A tag that is not taken, a date that is none, a number of thousands of digits.
            problems.append(
                f"{path}:{node.start_mark.line + 1}: expected a camera, found: {' '.join(str(error).split())[:200]}"
            )
            continue
        except InvalidCameraError as error:
            where = [(_line(node, each.field), f"{error.camera or 'a camera'}: {each}") for each in error.problems]
            problems += [f"{path}:{line}: {text}" for line, text in where]
            continue
        if camera.name in found:
            problems.append(f"{path}:{_line(node, 'name')}: {camera.name}: expected one camera of a name, found two")
        found[camera.name] = Described(camera=camera, said=frozenset(given))
    if problems:
        raise CameraFileError(tuple(problems))
    return found


def _document(path: Path) -> Any:
    """The list at the top; None for an empty file."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CameraFileError((f"{path}: {error.strerror}",)) from error
    if len(text) > MAX_BYTES:
        raise CameraFileError((f"{path}: expected at most {MAX_BYTES} bytes",))
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CameraFileError((f"{path}:{line}: expected YAML: {error.problem}",)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise CameraFileError((f"{path}: expected YAML: {' '.join(str(error).split())[:200]}",)) from error
    if document is not None and not isinstance(document, yaml.SequenceNode):
        raise CameraFileError((f"{path}:{document.start_mark.line + 1}: expected a list of cameras, each `- name: …`",))
    return document


def _doubled(node: Any, known: set[int]) -> Iterator[tuple[int, str]]:
    """Keys that stand twice in a mapping: YAML forbids them, its readers keep the last in silence."""
    if id(node) in known:
        return  # an alias, perhaps of what it stands in
    known.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _doubled(each, known)
    elif isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                yield key.start_mark.line + 1, f"expected {key.value} once, found it again"
            seen.add(str(key.value))
            yield from _doubled(value, known)


def _line(node: Any, field: str) -> int:
    """The line of a field such as `functions.detect[0].fps`, or of what should hold it."""
    for name, index in _STEP.findall(field):
        if name and isinstance(node, yaml.MappingNode):
            inner = next((value for key, value in node.value if key.value == name), None)
        elif index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            inner = node.value[int(index)]
        else:
            inner = None
        if inner is None:
            break
        node = inner
    return int(node.start_mark.line) + 1
