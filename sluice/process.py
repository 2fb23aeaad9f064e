"""How the one process of a part is run: gunicorn's settings, and the end."""

import logging
from pathlib import Path
from typing import Any, Final

from sluice.settings import ServingSettings

KEEP_ALIVE_S: Final = 120
DRAIN_S: Final = 30
BOOT_FAILED: Final = 3
"""How gunicorn ends when its worker could not start."""
CLOSERS: Final = "sluice.close"
"""The app's extension that holds what is to be closed."""

log = logging.getLogger("sluice.process")


def gunicorn_settings(settings: ServingSettings, *, logger: type) -> dict[str, Any]:
    """Settings by gunicorn's names: one process, threads that answer for health while all others work."""
    in_memory = Path("/dev/shm")  # noqa: S108 (gunicorn makes a file of its own there; on a disk it may block)
    return {
        "bind": f"{settings.host}:{settings.port}",
        "worker_class": "sluice.lingering.Worker",
        "workers": 1,
        "threads": settings.concurrency + 2,
        "keepalive": KEEP_ALIVE_S,
        "timeout": 0,  # how long an event may take is the platform's to say
        "graceful_timeout": DRAIN_S,
        "preload_app": False,
        "worker_tmp_dir": str(in_memory) if in_memory.is_dir() else None,
        "control_socket_disable": True,
        # A proxy on this host is trusted by default, and hands on what anybody sends: SCRIPT_NAME moves the path.
        "forwarded_allow_ips": "",
        "forwarder_headers": "",
        "accesslog": None,
        "logger_class": logger,
        "worker_exit": close_all,
    }


def close_all(_arbiter: object, worker: Any) -> None:
    """Close what the app holds, once its last event is answered; one that fails keeps no other from it."""
    app = getattr(worker, "wsgi", None)
    for close in app.extensions.get(CLOSERS, ()) if app else ():
        try:
            close()
        except Exception:  # the process ends either way, and the next must have its turn
            log.exception("could not close %r", close)
