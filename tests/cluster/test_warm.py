"""How soon a function has a chunk, and what everything takes, while the line is at work."""

import json
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from sluice import names
from sluice.bus import Subscription
from sluice.topology import RESULTS, Consumer
from tests.cluster import figures
from tests.cluster.chunks import assert_each_once, source
from tests.cluster.kubernetes import Kubernetes, is_ready, name_of
from tests.endtoend.system import System
from tests.services.line import eventually

pytestmark = pytest.mark.triton

FUNCTIONS = ("detect", "package")
KINDS = ("detections", "playlists")
COLD, WARM = 20, 80
ANSWERED_S = 60
GOAL_MS = 20
WORST_MS = 2000
"""Not the goal, but what a busy machine must keep, too."""


def test_a_warm_function_has_a_chunk_at_once(cluster: Kubernetes, system: System) -> None:
    """From the moment the store has taken it to the function's entry, one chunk after the other.

    Nothing is asked of the servers meanwhile: the test hears by NATS that both functions are done.
    """
    with source(system, "warm") as camera:
        eventually("no pod begins or ends", partial(_is_steady, cluster), within_s=240, every_s=0.5)
        heard, chunks = _heard(system, camera.name), []
        for _ in range(COLD + WARM):
            chunks.append(camera.put())
            _hear(heard, chunks[-1].key)
        assert_each_once(system, camera.name, chunks)
        put_at = {each.key: camera.put_at[each.key] for each in chunks[COLD:]}
        for function in FUNCTIONS:
            # Clocks are the same machine's, and logs say milliseconds: what is less than nothing is nothing.
            entered = dict(_entries(cluster, function))
            waits = sorted(max(0.0, entered[key] - at) * 1000 for key, at in put_at.items() if key in entered)
            assert len(waits) > WARM * 0.9
            p50, p95 = statistics.median(waits), waits[int(len(waits) * 0.95)]
            figures.tell(f"PUT to `{function}`, warm, p50 / p95 (goal {GOAL_MS} ms)", f"{p50:.0f} / {p95:.0f} ms")
            assert p95 < WORST_MS


def _is_steady(cluster: Kubernetes) -> bool:
    pods = cluster.every("pods")
    return not any(
        "deletionTimestamp" in pod["metadata"] or (pod["status"]["phase"] != "Succeeded" and not is_ready(pod))
        for pod in pods
    )


def _heard(system: System, camera: str) -> Subscription:
    subjects = tuple(names.subject(kind, camera) for kind in KINDS)
    reader = Consumer(stream=RESULTS.name, name=camera, filter_subjects=subjects, acks=False, inactive_s=60)
    system.bus.ensure([], [reader], [])
    return system.bus.subscribe(reader)


def _hear(heard: Subscription, key: str) -> None:
    """Wait until each kind of answer to the chunk has come; a playlist may be told twice."""
    missing, deadline = set(KINDS), time.monotonic() + ANSWERED_S
    while missing:
        assert time.monotonic() < deadline, f"not within {ANSWERED_S} s: {missing} of {key}"
        for message in heard.fetch(10, wait_s=5):
            if json.loads(message.payload)["chunk"]["key"] == key:
                missing.discard(names.parse_subject(message.subject)[0])


def _entries(cluster: Kubernetes, function: str) -> Iterator[tuple[str, float]]:
    """When each chunk came in, in Unix seconds, as the function's log tells."""
    pods = (f"--selector=serving.knative.dev/service={function}", f"--container={function}", "--tail=-1")
    for line in cluster.kubectl("logs", *pods).splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if "duration_ms" in said and "key" in said:
            ended = datetime.fromisoformat(said["time"]).timestamp()
            yield said["key"], ended - said["duration_ms"] / 1000


def test_what_each_pod_takes(cluster: Kubernetes) -> None:
    """Memory, as the nodes' kubelets measure it: pages in use, without what the kernel may drop."""
    found = dict[str, int]()
    for container in _containers(cluster):
        name, size = container["name"], container.get("memory", {}).get("workingSetBytes", 0)
        found[name] = max(found.get(name, 0), size)

    for name, size in sorted(found.items()):
        figures.tell(f"memory of `{name}`", f"{size / (1 << 20):.0f} MiB")
    assert {"minio", "nats", "segmenter", "bridge", "triton", "detect", "package"} <= set(found)


def _containers(cluster: Kubernetes) -> Iterator[dict[str, Any]]:
    for node in cluster.every("nodes"):
        summary = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{name_of(node)}/proxy/stats/summary")
        for pod in json.loads(summary)["pods"]:
            if pod["podRef"]["namespace"] == cluster.namespace:
                yield from pod["containers"]
