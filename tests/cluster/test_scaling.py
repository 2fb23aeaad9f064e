"""From no pod to an answer: each function beside a service that says hello and nothing else, in the same minutes."""

import statistics
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import pytest

from tests.cluster import figures
from tests.cluster.kubernetes import Kubernetes, is_ready
from tests.endtoend.system import System
from tests.services.line import eventually

FUNCTIONS = ("inspect", "detect", "package", "index", "sweep", "gateway")
HELLOS = ("hello-1", "hello-2")
ROUNDS = 3
GOLDEN = 0.618
"""Multiples of it, without their whole parts, are spread evenly."""
GOAL = 1.15
WORST = 3.0
"""Not the goal, but what a busy machine must keep, too."""
PING_S = 60
QUIET = 15, 55
"""Seconds of each minute."""
PROGRAM = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

ThreadingHTTPServer(("", int(os.environ["PORT"])), Hello).serve_forever()
"""


@pytest.fixture(scope="module")
def hellos(cluster: Kubernetes) -> Iterator[tuple[str, ...]]:
    """In the same image, with the same interpreter, and without a single package."""
    image = cluster.get("ksvc", "inspect")["spec"]["template"]["spec"]["containers"][0]["image"]
    cluster.apply(*(_hello(name, image) for name in HELLOS))
    eventually(
        "hello is Ready", lambda: all(is_ready(cluster.get("ksvc", name)) for name in HELLOS), within_s=120, every_s=0.5
    )
    yield HELLOS
    cluster.kubectl("delete", "ksvc", *HELLOS, "--wait=false")


def _hello(name: str, image: str) -> dict[str, Any]:
    container = {"image": image, "command": ["python", "-c", PROGRAM], "resources": {"requests": {"cpu": "10m"}}}
    annotations = {"autoscaling.knative.dev/window": "6s"}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"networking.knative.dev/visibility": "cluster-local"}},
        "spec": {"template": {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}},
    }


def test_between_pings_none_is_wanted(cluster: Kubernetes) -> None:
    """The sweeper is woken each minute; until the next ping it is told to go, and so is the indexer."""
    eventually("a sweeper is wanted", lambda: _wanted(cluster, "sweep") > 0, within_s=90, every_s=0.2)
    woken = time.monotonic()
    eventually("none is wanted", lambda: _wanted(cluster, "sweep") == 0, within_s=PING_S, every_s=0.2)

    figures.tell("from a ping until no sweeper is wanted", f"{time.monotonic() - woken:.0f} s")
    eventually("no indexer is wanted", lambda: _wanted(cluster, "index") == 0, within_s=PING_S, every_s=0.5)


def _wanted(cluster: Kubernetes, name: str) -> int:
    """Pods that the autoscaler asks for."""
    found = cluster.every("podautoscalers", f"--selector=serving.knative.dev/service={name}")
    return sum(each.get("status", {}).get("desiredScale", 0) for each in found)


def test_a_cold_start_is_hardly_dearer_than_hello(cluster: Kubernetes, system: System, hellos: tuple[str, ...]) -> None:
    """One after the other, hello in between; a pod that is ending takes no request."""
    seconds: dict[str, list[float]] = {name: [] for name in (*hellos, *FUNCTIONS)}
    in_turn = (hellos[0], *FUNCTIONS[:3], hellos[1], *FUNCTIONS[3:])
    for count, (position, name) in product(range(ROUNDS), enumerate(in_turn)):
        eventually(f"no {name}", partial(_is_idle, cluster, name), within_s=300, every_s=0.5)
        # The kubelet looks at its containers once a second: each service has to meet it at moments that are spread
        # over it, or one would always be lucky.
        time.sleep((count / ROUNDS + position * GOLDEN) % 1)
        seconds[name].append(_first_answer_s(cluster, name))
    hello = statistics.mean(each for name in hellos for each in seconds[name])

    figures.tell("cold start of hello", _spread([each for name in hellos for each in seconds[name]]))
    for name in FUNCTIONS:
        ratio = statistics.mean(seconds[name]) / hello
        figures.tell(f"cold start of `{name}` (goal {GOAL} x hello)", f"{_spread(seconds[name])}, {ratio:.2f} x")
    assert max(statistics.mean(seconds[name]) for name in FUNCTIONS) < WORST * hello


def _spread(found: list[float]) -> str:
    return f"{statistics.mean(found):.2f} s ({min(found):.2f} to {max(found):.2f} in {len(found)})"


def _is_idle(cluster: Kubernetes, name: str) -> bool:
    """No pod takes requests, and no ping is near: what it starts would be busy with it."""
    return QUIET[0] < time.time() % 60 < QUIET[1] and not cluster.pods_of(name)


def _first_answer_s(cluster: Kubernetes, name: str) -> float:
    url = cluster.get("ksvc", name)["status"]["url"]
    began = time.monotonic()
    with urllib.request.urlopen(f"{url}/health/readiness", timeout=60) as answer:
        answer.read()
    return time.monotonic() - began
