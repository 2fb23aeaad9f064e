"""Cameras to look at, add, change and remove."""

from typing import Any, Final

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from functions.gateway import asked
from functions.gateway.answers import Refused, not_found
from functions.gateway.auth import authorized, the_token, writing
from functions.gateway.described import described, first, shown, with_new_key
from functions.gateway.openapi import describe
from functions.gateway.settings import Services
from sluice import cameras
from sluice.address import redacted
from sluice.contracts.camera import Camera
from sluice.errors import ConflictError
from sluice.names import camera_key

_SHOWN: Final = {
    "type": "object",
    "description": "its settings; `source` without passwords, and `push` instead of its key",
    "properties": {"name": {"type": "string"}, "source": {"type": "string"}, "push": {"type": "boolean"}},
}
_WRITTEN: Final = {
    "type": "object",
    "properties": {
        "camera": _SHOWN,
        "push_key": {"type": "string", "description": "a new one that was asked for; shown this once"},
        "warning": {"type": ["string", "null"]},
    },
}


def blueprint(services: Services) -> Blueprint:
    """The routes of a portal."""
    routes = Blueprint("api", __name__)
    _read(routes, services)
    _add(routes, services)
    _change(routes, services)
    return routes


def _read(routes: Blueprint, services: Services) -> None:
    known: list[cameras.Loaded] = [cameras.Loaded()]

    def loaded() -> cameras.Loaded:
        known[0] = cameras.load_all(services.store, known[0])
        return known[0]

    @routes.get("/api/cameras")
    @describe(answer={"type": "object", "properties": {"cameras": {"type": "array", "items": _SHOWN}}})
    def list_cameras() -> ResponseReturnValue:
        """Every camera of the token's scope."""
        covers, found = the_token().covers, loaded()
        listed = [shown(camera) for name, camera in sorted(found.cameras.items()) if covers(name)]
        problems = {name: redacted(text) for name, text in found.problems.items() if covers(name)}
        return jsonify(cameras=listed, problems=problems)

    @routes.get("/api/cameras/<camera>")
    @describe(answer=_SHOWN)
    def show_camera(camera: str) -> ResponseReturnValue:
        """One camera's settings."""
        return jsonify(shown(cameras.load(services.store, authorized(camera))))


def _add(routes: Blueprint, services: Services) -> None:
    @routes.post("/api/cameras")
    @describe(status=201, body=Camera, answer=_WRITTEN)
    def add_camera() -> ResponseReturnValue:
        """Add a camera; `push: "new"` makes a key for one that pushes, and shows it this once."""
        writing()
        given, key = with_new_key(asked.body())
        camera = first(given)
        authorized(camera.name, write=True)
        try:
            warning = cameras.create(services.store, services.bus, camera)
        except ConflictError as error:
            raise Refused(409, f"there is a camera {camera.name!r} already") from error
        return jsonify(_written(camera, warning, key)), 201


def _change(routes: Blueprint, services: Services) -> None:
    store, bus = services.store, services.bus

    @routes.put("/api/cameras/<camera>")
    @describe(body=Camera, answer=_WRITTEN)
    def replace_camera(camera: str) -> ResponseReturnValue:
        """Give a camera these settings and no others; what is shown redacted may be sent back as it is."""
        return changed(camera, whole=True)

    @routes.patch("/api/cameras/<camera>")
    @describe(body={"type": "object", "description": "some of a camera's settings"}, answer=_WRITTEN)
    def change_camera(camera: str) -> ResponseReturnValue:
        """Change the settings that are sent, and no others."""
        return changed(camera, whole=False)

    @routes.delete("/api/cameras/<camera>")
    @describe(answer={"type": "object", "properties": {"warning": {"type": ["string", "null"]}}})
    def remove_camera(camera: str) -> ResponseReturnValue:
        """Stop recording and forget the camera; what was recorded stays."""
        name = authorized(camera, write=True)
        # By a listing, as one that cannot be read can be removed.
        if not any(each.key == camera_key(name) for each in store.list(camera_key(name))):
            raise not_found()
        return jsonify(warning=cameras.remove(store, bus, name))

    def changed(name: str, *, whole: bool) -> ResponseReturnValue:
        authorized(name, write=True)
        given, key = with_new_key(asked.body())
        if given.setdefault("name", name) != name:
            raise Refused(422, "name: a camera cannot be renamed")
        new, warning = cameras.change(store, bus, name, lambda old: described(given, old, whole=whole))
        return jsonify(_written(new, warning, key))


def _written(camera: Camera, warning: str | None, key: str | None) -> dict[str, Any]:
    return {"camera": shown(camera), "warning": warning, **({"push_key": key} if key else {})}
