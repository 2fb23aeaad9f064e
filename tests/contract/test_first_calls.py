"""The first calls of a process, made by many threads at once: imports in circles must not break each other."""

import subprocess
import sys

import pytest

STARTS = 12
PROGRAM = """
import sys, threading
from sluice.bus import NatsBus
from sluice.errors import UnavailableError
from sluice.settings import BusSettings, StoreSettings
from sluice.store import S3Store
from sluice.topology import CAMERAS, INTAKE_BRIDGE

bus = NatsBus(BusSettings(url="nats://127.0.0.1:9", timeout_s=0.3))
store = S3Store(StoreSettings(url="http://127.0.0.1:9", access_key="nobody", secret_key="nothing", timeout_s=0.3))
calls = [
    lambda: bus.publish("sluice.intake.fast", b"", message_id="1"),
    lambda: bus.subscribe(INTAKE_BRIDGE).fetch(1, wait_s=0.1),
    lambda: bus.bucket(CAMERAS.name).get("gate"),
    lambda: bus.differences([], [INTAKE_BRIDGE], []),
    lambda: store.get("chunks/x"),
    lambda: store.create("results/x", b""),
    lambda: list(store.list("chunks/")),
    lambda: store.delete(["chunks/x"]),
]
start, wrong = threading.Barrier(len(calls)), []

def first(call):
    start.wait()
    try:
        call()
    except UnavailableError:
        return
    except BaseException as error:
        wrong.append(repr(error))

threads = [threading.Thread(target=first, args=[call]) for call in calls]
for each in threads: each.start()
for each in threads: each.join()
bus.close()
sys.exit("; ".join(wrong) or 0)
"""


@pytest.mark.parametrize("_start", range(STARTS))
def test_many_threads_may_make_the_first_call(_start: int) -> None:
    """Nobody listens, so each of them is told that its server is unavailable, and nothing else."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
