"""A camera's description: fields to Camera with every problem told, and its object's JSON in both directions."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from sluice.cameras import fields as rules
from sluice.cameras.keys import EXPECTED as KEY_EXPECTED
from sluice.cameras.keys import KEY, hashed_key
from sluice.cameras.works import MODELS
from sluice.contracts.camera import Camera, Work
from sluice.errors import SluiceError

MAX_BYTES: Final = 65_536
"""Of a camera's object."""
_FIELDS: Final = {each.name for each in fields(Camera)}


class Problem(NamedTuple):
    """What is wrong with one field."""

    field: str
    """As in `functions.detect[0].fps`."""
    expected: str
    found: str
    """For people; without passwords and keys."""

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


@dataclass
class InvalidCameraError(SluiceError):
    """Raised when no camera can be as described; lists every problem, not the first."""

    problems: tuple[Problem, ...]
    camera: str = ""
    """Its name, where one could be read."""

    def __str__(self) -> str:
        return f"camera {self.camera!r}: " + "; ".join(map(str, self.problems))


def parse(given: Mapping[str, Any]) -> Camera:
    """The camera that *given* describes, in the contract's field names, or with `push: {key: K}` for push_key."""
    return _read(_with_hashed_key(given), tolerant=False)


def checked(camera: Camera) -> Camera:
    """Return *camera* if it can be as it says, else raise InvalidCameraError."""
    return _read(as_fields(camera), tolerant=False)


def as_fields(camera: Camera) -> dict[str, Any]:
    """Every field by name, as parse takes it; of a function's work what is said only."""
    works = {
        function: [{name: _plain(value) for name, value in _items(work) if value is not None} for work in each]
        for function, each in camera.functions.items()
    }
    return {**dict(_items(camera)), "functions": works}


def encode(camera: Camera) -> bytes:
    """The body of its object, if it can be as it says: the same camera gives the same bytes."""
    return _rendered(as_fields(checked(camera)))


def encode_over(camera: Camera, stored: bytes) -> bytes:
    """The body of its object, keeping what a newer version has written into fields that are unknown here."""
    older = json.loads(stored)
    return _rendered({name: value for name, value in older.items() if name not in _FIELDS} | as_fields(checked(camera)))


def decode(body: bytes, *, name: str) -> Camera:
    """Read the object of camera *name*; fields that a newer version has added are ignored."""
    try:
        found = json.loads(body)
    # A body of brackets alone makes a RecursionError.
    except (ValueError, RecursionError) as error:
        raise InvalidCameraError((Problem("object", "JSON", str(error)[: rules.SHOWN]),), name) from error
    if not isinstance(found, dict):
        raise InvalidCameraError((Problem("object", "a JSON object", rules.shown(found)),), name)
    if found.get("name") != name:
        raise InvalidCameraError((Problem("name", f"{name!r} as its key says", rules.shown(found.get("name"))),), name)
    return _read(found, tolerant=True)


def _read(given: Mapping[str, Any], *, tolerant: bool) -> Camera:
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for field, value in given.items():
        if field == "functions":
            values[field] = _functions(value, problems, tolerant=tolerant)
        elif field in rules.CAMERA:
            _take(values, field, value, rules.CAMERA[field], field, problems)
        elif not tolerant:
            problems.append(_unknown(str(field), _FIELDS))
    if "name" not in given:
        problems.append(Problem("name", rules.CAMERA["name"].expected, "nothing"))
    if not {each.field for each in problems} & {"source", "push_key"}:
        problems += _one_way_in(values)
    if problems:
        raise InvalidCameraError(tuple(problems), rules.text(given.get("name")))
    return Camera(**values)


def _one_way_in(values: Mapping[str, Any]) -> list[Problem]:
    source, push_key = values.get("source"), values.get("push_key")
    if bool(source) != bool(push_key):
        return []
    return [Problem("source", "a source or a push key, and not both", "both" if source else "neither")]


def _functions(given: Any, problems: list[Problem], *, tolerant: bool) -> dict[str, tuple[Work, ...]]:
    if not isinstance(given, Mapping) or len(given) > rules.MAX_FUNCTIONS:
        expected = f"at most {rules.MAX_FUNCTIONS} functions, each with a list of what it is to do"
        problems.append(Problem("functions", expected, rules.shown(given)))
        return {}
    found = {}
    for name, works in sorted(given.items(), key=lambda item: str(item[0])):
        field = f"functions.{name}"[: rules.SHOWN]
        if not rules.FUNCTION.fullmatch(str(name)):
            problems.append(Problem("functions", "names of [a-z]+", rules.shown(name)))
        elif not isinstance(works, list) or len(works) > rules.MAX_WORKS:
            problems.append(Problem(field, f"a list of at most {rules.MAX_WORKS} entries", rules.shown(works)))
        else:
            read = [_work(each, f"{field}[{at}]", problems, tolerant=tolerant) for at, each in enumerate(works)]
            found[str(name)] = tuple(read)
            unread = any(each.field.startswith(f"{field}[") for each in problems)
            problems += [] if unread else _doubled(read, field, MODELS.get(str(name)))
    return found


def _doubled(works: list[Work], field: str, own: str | None) -> list[Problem]:
    models = [work.model or own for work in works]
    twice = sorted({model or "the function's own" for model in models if models.count(model) > 1})
    return [Problem(field, "one entry a model", f"several for {model}") for model in twice]


def _work(given: Any, where: str, problems: list[Problem], *, tolerant: bool) -> Work:
    if not isinstance(given, Mapping):
        problems.append(Problem(where, f"some of {', '.join(rules.WORK)}", rules.shown(given)))
        return Work()
    values: dict[str, Any] = {}
    for field, value in given.items():
        if field in rules.WORK:
            _take(values, field, value, rules.WORK[field], f"{where}.{field}", problems)
        elif not tolerant:
            problems.append(_unknown(f"{where}.{field}", rules.WORK))
    return Work(**values)


def _take(values: dict[str, Any], name: str, value: Any, rule: rules.Rule, field: str, problems: list[Problem]) -> None:
    try:
        values[name] = rule.read(value)
    except rules.UnfitError as unfit:
        problems.append(Problem(field, unfit.expected or rule.expected, unfit.found or rules.shown(value)))


def _unknown(field: str, known: Iterable[str]) -> Problem:
    return Problem(field[: rules.SHOWN], f"one of {', '.join(sorted(known))}", "an unknown field")


def _with_hashed_key(given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    push = found.pop("push", None)
    if push is None:
        return found
    key = push.get("key") if isinstance(push, Mapping) and set(push) == {"key"} else None
    # Never shown, whatever it is: the wrong key of one camera may be the right one of another.
    if not isinstance(key, str) or not KEY.fullmatch(key) or "push_key" in given:
        expected = f"{{key: K}} with K of {KEY_EXPECTED}, and no push_key beside it"
        raise InvalidCameraError((Problem("push", expected, "something else"),), rules.text(given.get("name")))
    return {**found, "push_key": hashed_key(key)}


def _items(thing: Camera | Work) -> list[tuple[str, Any]]:
    return [(each.name, getattr(thing, each.name)) for each in fields(thing)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rendered(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
