"""A loop that waits by a library which swallows cancellations still ends."""

import asyncio

from sluice.local.cancellation import heed_cancellation


async def swallowing_wait() -> None:
    """As asyncio.wait_for before Python 3.12, when the result comes together with the cancellation."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        return


async def loop() -> None:
    while True:
        heed_cancellation()
        await swallowing_wait()


def test_a_swallowed_cancellation_ends_the_loop() -> None:
    """One request to end is enough."""

    async def cancelled_once() -> bool:
        task = asyncio.create_task(loop())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        return task.cancelled()

    assert asyncio.run(cancelled_once())


def test_a_task_that_nobody_cancelled_goes_on() -> None:
    """Only a request to end ends it."""

    async def untouched() -> str:
        heed_cancellation()
        return "went on"

    assert asyncio.run(untouched()) == "went on"
