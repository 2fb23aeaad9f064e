"""The NATS server that the local runtime and the tests start, and its users' rights."""

import http.client
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sluice.errors import UnavailableError
from sluice.local.program import Program, accepts_connections

ADMIN: Final = "admin"
MAX_STORE: Final = "1TB"
RELOAD_S: Final = 5.0
POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsUser:
    """A user, and the subjects open to it; admin without any has them all."""

    name: str
    password: str = field(repr=False)
    """Or its bcrypt hash."""
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


def nats_config(
    *,
    port: int,
    store: Path,
    users: Sequence[NatsUser],
    monitor_port: int | None = None,
    websocket_port: int | None = None,
) -> str:
    """The server's configuration file."""
    lines = [
        "server_name: sluice",
        f"listen: {_quoted(f'127.0.0.1:{port}')}",
        "jetstream {",
        f"  store_dir: {_quoted(str(store))}",
        "  # By default an acknowledged message may stay unwritten for two minutes.",
        "  sync_interval: always",
        "  # A stream's max_bytes counts as used from the start. The default, three quarters of the free disk, is less",
        "  # than the streams' sum on a small machine, and they could not be made.",
        f"  max_file_store: {MAX_STORE}",
        "}",
        *authorization(users),
    ]
    if websocket_port is not None:
        # Who may connect is a matter of user and password: allowed_origins binds honest browsers only.
        listen = _quoted(f"127.0.0.1:{websocket_port}")
        lines += ["websocket {", f"  listen: {listen}", "  no_tls: true", "}"]
    if monitor_port is not None:
        lines.insert(2, f"http: {_quoted(f'127.0.0.1:{monitor_port}')}")
    return "\n".join(lines) + "\n"


def authorization(users: Sequence[NatsUser]) -> list[str]:
    """The part of a configuration file that says who is let in, line by line."""
    return ["authorization {", "  users: [", *(f"    {_user(user)}" for user in users), "  ]", "}"]


def nats_program(*, binary: Path, config: Path, port: int, log: Path) -> Program:
    """The server; it listens only when it has recovered its streams."""
    return Program(
        name="nats",
        command=(str(binary), "--config", str(config)),
        log=log,
        ready=lambda: accepts_connections(port),
    )


def reload_config(pid: int, *, monitor_port: int) -> None:
    """Have the server read its file again; whoever is in it no longer is disconnected.

    Returns when that is done: until then a client that connects may be cut off, whoever it is. Raises
    UnavailableError when the server does not answer, or keeps what it has because the file is wrong.
    """
    deadline = time.monotonic() + RELOAD_S
    before = _varz(monitor_port)["config_load_time"]
    os.kill(pid, signal.SIGHUP)
    while _varz(monitor_port)["config_load_time"] == before:
        if time.monotonic() > deadline:
            raise UnavailableError("nats", f"its new configuration is not in force after {RELOAD_S:g} s")
        time.sleep(POLL_S)


def config_digest(*, monitor_port: int) -> str:
    """Names what the server has read: the same for the same file. Raises UnavailableError when it does not answer."""
    return str(_varz(monitor_port)["config_digest"])


def _varz(monitor_port: int) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", monitor_port, timeout=RELOAD_S)
    try:
        connection.request("GET", "/varz")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnavailableError("nats", f"its monitor on port {monitor_port}: {error}") from error
    finally:
        connection.close()
    return found


def _user(user: NatsUser) -> str:
    who = f"user: {_quoted(user.name)}, password: {_quoted(user.password)}"
    if user.name == ADMIN and not user.publish and not user.subscribe:
        return f"{{{who}}}"
    rights = f"publish: {_subjects(user.publish)}, subscribe: {_subjects(user.subscribe)}"
    return f"{{{who}, permissions: {{{rights}}}}}"


def _subjects(allowed: tuple[str, ...]) -> str:
    # The server takes an empty list of allowed subjects for "everything".
    if not allowed:
        return '{deny: [">"]}'
    return f"{{allow: [{', '.join(map(_quoted, allowed))}]}}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
