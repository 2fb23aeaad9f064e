"""A new version of detect takes over while chunks flow."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.chunks import Source, assert_each_once, results, source, stored, unanswered
from tests.cluster.kubernetes import Kubernetes, is_ready
from tests.endtoend.system import System
from tests.services.line import eventually

pytestmark = pytest.mark.triton

PAUSE_S = 0.4
AFTER = 10
"""Chunks after the new version is Ready."""


@contextmanager
def flowing(camera: Source) -> Iterator[None]:
    """A chunk every moment, until the end of the block."""
    over = threading.Event()

    def put() -> None:
        while not over.wait(PAUSE_S):
            camera.put()

    thread = threading.Thread(target=put)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_new_revision_loses_and_doubles_nothing(cluster: Kubernetes, system: System) -> None:
    """Requests under way end where they began, and what comes later goes to the new one."""
    old = cluster.get("ksvc", "detect")["status"]["latestReadyRevisionName"]
    with source(system, "rolling") as camera:
        with flowing(camera):
            eventually("the first detections", lambda: len(results(system, camera.name)) >= 3, within_s=120)
            note = {"spec": {"template": {"metadata": {"annotations": {"sluice.dev/tests": "another"}}}}}
            eventually("a chunk is under way", lambda: unanswered(system, camera.name))
            cluster.kubectl("patch", "ksvc", "detect", "--type=merge", f"--patch={json.dumps(note)}")
            eventually("the new revision", lambda: _has_moved_from(cluster, old), within_s=180, every_s=0.5)
            before = len(stored(system, camera.name))
            eventually("chunks for it", lambda: len(stored(system, camera.name)) >= before + AFTER, within_s=120)
        assert_each_once(system, camera.name, stored(system, camera.name))


def _has_moved_from(cluster: Kubernetes, old: str) -> bool:
    service = cluster.get("ksvc", "detect")
    (traffic,) = service["status"].get("traffic", [{}])[:1]
    return is_ready(service) and traffic.get("revisionName") not in (None, old)
