"""The first detections after `kubectl apply -k`, and functions that are there only while there is something to do."""

import time
import uuid

import pytest

from tests.cluster import figures
from tests.cluster.chunks import assert_each_once, source
from tests.cluster.kubernetes import Kubernetes
from tests.endtoend.system import System
from tests.endtoend.test_pushed_camera import pushed
from tests.services.line import eventually

pytestmark = pytest.mark.triton

CHUNK_FUNCTIONS = ("inspect", "detect", "package")
GONE_S = 120


def test_a_camera_that_pushes_is_seen_at_once(cluster: Kubernetes, system: System) -> None:
    """From the first `kubectl apply -k`: everything starts, a camera is added and pushes, a face is found."""
    camera = f"first-{uuid.uuid4().hex[:12]}"

    with pushed(system, camera):
        (first, *_) = eventually("a detection", lambda: system.messages("detections", camera), within_s=120)

    assert first["frames"][0]["objects"][0]["label"] == "face"
    figures.tell("`kubectl apply -k` to the first detection, 4 s of pushing included", f"{_since_applied():.0f} s")


def _since_applied() -> float:
    return time.time() - figures.began()


def test_from_nothing_a_chunk_is_dealt_with_and_nothing_is_left(cluster: Kubernetes, system: System) -> None:
    """No pod before, one of each function for the chunk, none two minutes later; the event went through the Broker."""
    eventually("no pods", lambda: not _pods(cluster), within_s=240, every_s=0.5)
    carried = _carried(cluster)

    with source(system, "nothing") as camera:
        began = time.monotonic()
        chunk = camera.put("opening")
        eventually("a pod of each", lambda: set(CHUNK_FUNCTIONS) <= _pods(cluster), within_s=60, every_s=0.5)
        assert_each_once(system, camera.name, [chunk])
        figures.tell("a chunk to its detection, from no pods at all", f"{time.monotonic() - began:.1f} s")
    done = time.monotonic()
    eventually("no pods again", lambda: not _pods(cluster), within_s=GONE_S, every_s=0.5)

    figures.tell("until the last pod is gone again", f"{time.monotonic() - done:.0f} s")
    assert _carried(cluster) > carried


def _pods(cluster: Kubernetes) -> set[str]:
    """Functions of which there is any pod, those that end included."""
    found = cluster.pods("serving.knative.dev/service")
    return {pod["metadata"]["labels"]["serving.knative.dev/service"] for pod in found} & set(CHUNK_FUNCTIONS)


def _carried(cluster: Kubernetes) -> float:
    """Events that the Broker's ingress has taken from the bridge with 202."""
    (broker,) = cluster.every("brokers")
    environment = cluster.get("deployment", "bridge")["spec"]["template"]["spec"]["containers"][0]["env"]
    # The bridge posts to the ingress, by what the SinkBinding wrote into it.
    assert {"name": "K_SINK", "value": broker["status"]["address"]["url"]} in environment
    lines = cluster.metrics("bridge").splitlines()
    return sum(float(each.split()[-1]) for each in lines if each.startswith('sluice_bridge_out_total{code="202"'))
