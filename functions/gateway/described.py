"""A camera as the API shows it and takes it back: without passwords and keys, which nobody is shown again."""

from collections.abc import Mapping
from typing import Any

from sluice.address import redacted
from sluice.cameras import InvalidCameraError, Problem, new_key, parse
from sluice.cameras.description import as_fields
from sluice.contracts.camera import Camera


def shown(camera: Camera) -> dict[str, Any]:
    """Every setting; `push` says whether there is a key."""
    fields = as_fields(camera)
    del fields["push_key"]
    return {**fields, "source": redacted(camera.source), "push": bool(camera.push_key)}


def with_new_key(given: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Make a key for `push: new`; returns it, too, as it is shown once."""
    if given.get("push") != "new":
        return dict(given), None
    key = new_key()
    return {**given, "push": {"key": key}}, key


def described(given: Mapping[str, Any], old: Camera, *, whole: bool) -> Camera:
    """The camera that *given* makes of *old*; with *whole*, what is not given has its default.

    What was shown redacted stays as it is when it is sent back.
    """
    fields = dict(given)
    if isinstance(fields.get("source"), str) and fields["source"] == redacted(old.source):
        fields["source"] = old.source
    push = fields.get("push")
    if push is True and old.push_key:
        fields |= {"push_key": old.push_key}
        del fields["push"]
    elif push is False:
        fields |= {"push_key": ""}
        del fields["push"]
    if not whole:
        fields = _merged(as_fields(old), fields)
    return first(fields)


def first(given: Mapping[str, Any]) -> Camera:
    """The camera that *given* describes; its key comes as a key, as the API shows no hash."""
    fields = dict(given)
    push = fields.get("push")
    if push is False:
        del fields["push"]
    elif push is True:
        problem = Problem("push", '"new", or {"key": K}, as it has no key yet', "true")
        raise InvalidCameraError((problem,), str(fields.get("name", "")))
    return parse(fields)


def _merged(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """One way in instead of the other, where one is given."""
    if given.get("source"):
        old["push_key"] = ""
    elif given.get("push") or given.get("push_key"):
        old["source"] = ""
    if "push" in given:
        del old["push_key"]
    return {**old, **given}
