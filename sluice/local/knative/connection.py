"""The connection to NATS of what plays Knative, and of commands that look at what it left."""

import nats
from nats.aio.client import Client


async def connect(url: str, user: str, password: str) -> Client:
    """A connection that is renewed for ever, and notices within seconds that a server hangs."""
    return await nats.connect(
        url,
        user=user,
        password=password,
        name="sluice up",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        connect_timeout=2,
        ping_interval=5,
        max_outstanding_pings=2,
        error_cb=_ignore,
    )


async def _ignore(error: Exception) -> None:
    """Lost connections are told by the calls that fail; nats-py would print a stack each time."""
