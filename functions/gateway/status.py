"""How everything is, for whoever may look."""

import time
from typing import Any, Final

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from functions.gateway.auth import the_token
from functions.gateway.openapi import describe
from functions.gateway.settings import Services
from sluice import cameras, telemetry
from sluice.bus import Bus
from sluice.contracts.camera import Camera
from sluice.errors import InvalidNameError, SluiceError, UnavailableError
from sluice.names import parse_chunk_key
from sluice.store import ObjectStore
from sluice.tokens import Token
from sluice.topology import RESULTS

RECENT_MS: Final = 600_000
MAX_CAMERAS: Final = 1000
_AWAY: Final = "does not answer"


def blueprint(services: Services) -> Blueprint:
    """One route."""
    routes = Blueprint("status", __name__)

    @routes.get("/api/status")
    @describe(answer={"type": "object"})
    def status() -> ResponseReturnValue:
        """What answers and what does not, until when each camera is recorded, and whose token this is."""
        token = the_token()
        problems = {"store": "", "nats": _problem_of_nats(services.bus)}
        states: list[dict[str, Any]] = []
        try:
            with services.searches:
                states = _states(token, services.store)
        except UnavailableError:
            problems["store"] = _AWAY
        expires = token.expires and token.expires.isoformat()
        mine = {"id": token.id, "role": token.role, "cameras": token.cameras, "expires": expires}
        return jsonify(problems=problems, cameras=states, token=mine, uptime_s=round(telemetry.uptime_s(), 1))

    return routes


def _problem_of_nats(bus: Bus) -> str:
    try:
        bus.differences([RESULTS], [], [])
    except SluiceError:
        return _AWAY
    return ""


def _states(token: Token, store: ObjectStore) -> list[dict[str, Any]]:
    loaded = sorted(cameras.load_all(store).cameras.items())
    covered = [camera for name, camera in loaded if token.covers(name)]
    return [_state(camera, store) for camera in covered[:MAX_CAMERAS]]


def _state(camera: Camera, store: ObjectStore) -> dict[str, Any]:
    """With the end of its newest chunk, looked for among those of the last minutes."""
    since_ms = int(time.time() * 1000) - RECENT_MS
    folder = f"chunks/{camera.name}/"
    after = f"{folder}{time.strftime('%Y-%m-%d/%H', time.gmtime(since_ms / 1000))}/{since_ms:013d}"
    newest = None
    for listed in store.list(folder, after=after):
        try:
            newest = parse_chunk_key(listed.key).end_ms
        except InvalidNameError:
            continue
    return {"name": camera.name, "paused": camera.paused, "recorded_until_ms": newest}
