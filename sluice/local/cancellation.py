"""Heeding a cancellation that somebody below has swallowed."""

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError if the running task was asked to end.

    asyncio.wait_for before Python 3.12 swallows a cancellation that comes together with its result
    (github.com/python/cpython/issues/86296), and nats-py waits with it: a loop around it would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
