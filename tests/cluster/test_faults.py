"""Four cameras, and each part of the line deleted in turn while it has a chunk in hand: none lost, none doubled."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pytest

from tests.cluster import figures
from tests.cluster.chunks import MODEL, answered, assert_each_once, stored, unanswered
from tests.cluster.kubernetes import Kubernetes, is_ready
from tests.endtoend.system import System
from tests.services.line import eventually

pytestmark = pytest.mark.triton

CAMERAS = 4
PATTERN = "test://?size=320x180&fps=10&gop=20"
SLACK_MS = 60
"""Two clocks meet in the name of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Pods that go, all at once and without a word."""

    name: str
    selector: str
    namespace: str = ""
    """Empty: the line's own."""
    returns: bool = True
    """False: comes back when it is needed."""


FAULTS = [
    Fault(
        name="the Broker's ingress", selector="eventing.knative.dev/brokerRole=ingress", namespace="knative-eventing"
    ),
    Fault(name="nats", selector="app=nats"),
    Fault(name="minio", selector="app=minio"),
    Fault(name="triton", selector="app=triton"),
    Fault(name="bridge", selector="app=bridge"),
    Fault(name="segmenter", selector="app=segmenter"),
    Fault(name="functions", selector="serving.knative.dev/service in (inspect,detect,package)", returns=False),
]


@pytest.fixture(scope="module")
def recorded(system: System) -> Iterator[list[str]]:
    """Cameras that are recorded and looked at."""
    run = uuid.uuid4().hex[:8]
    names = [f"fault-{number}-{run}" for number in range(CAMERAS)]
    with ExitStack() as stack:
        for name in names:
            system.run("camera", "add", name, PATTERN, "--detect", MODEL)
            stack.callback(system.run, "camera", "remove", name, "--keep")
        for name in names:
            eventually(f"chunks of {name}", partial(_is_recorded, system, name), within_s=120)
        yield names


@pytest.mark.parametrize("fault", FAULTS, ids=[each.name for each in FAULTS])
def test_the_line_goes_on(cluster: Kubernetes, system: System, recorded: list[str], fault: Fault) -> None:
    """It is back by itself, and what is recorded afterwards is looked at."""
    where = cluster.elsewhere(fault.namespace) if fault.namespace else cluster
    gone = {pod["metadata"]["uid"] for pod in where.pods(fault.selector)}
    assert gone
    eventually("a chunk under way", lambda: any(unanswered(system, each) for each in recorded))

    # Not --force: it lets a StatefulSet begin the next pod while the last one still writes to the same disk.
    where.kubectl("delete", "pods", f"--selector={fault.selector}", "--grace-period=1", "--wait=false")

    def back() -> bool:
        pods = [pod for pod in where.pods(fault.selector) if pod["metadata"]["uid"] not in gone]
        return not fault.returns or (bool(pods) and all(is_ready(pod) for pod in pods))

    eventually(f"{fault.name} is back", back, within_s=180, every_s=0.5)
    known = {name: {each.key for each in stored(system, name)} for name in recorded}
    for name in recorded:
        what = f"a detection in a new chunk of {name}"
        eventually(what, partial(_is_ahead, system, name, known[name]), within_s=180)


def _is_recorded(system: System, camera: str) -> bool:
    return len(stored(system, camera)) >= 2


def _is_ahead(system: System, camera: str, known: set[str]) -> bool:
    return not answered(system, camera) <= known


def test_nothing_was_lost_or_doubled(cluster: Kubernetes, system: System, recorded: list[str]) -> None:
    """One object and one message for each chunk and model; the chunks have no hole but where the segmenter went."""
    for name in recorded:
        system.run("camera", "pause", name)
    eventually("nothing more comes", lambda: _is_over(system, recorded), within_s=60)

    total = 0
    for name in recorded:
        chunks = stored(system, name)
        assert_each_once(system, name, chunks)
        total += len(chunks)
        sessions = {each.session for each in chunks}
        assert [each.seq for each in chunks] == list(range(1, len(chunks) + 1))
        assert len(sessions) <= 2, sessions
        for one, other in pairwise(chunks):
            if one.session == other.session:
                assert abs(other.start_ms - one.end_ms) <= SLACK_MS, (one.key, other.key)
    figures.tell(f"chunks of {CAMERAS} cameras under {len(FAULTS)} deletions: lost / doubled of {total}", "0 / 0")


def _is_over(system: System, recorded: list[str]) -> bool:
    """Paused, and all that was cut is stored."""
    said = {each["name"]: each for each in json.loads(system.run("camera", "list", "--json"))}
    return all(
        each["state"] == "paused" and each["spooled"] == 0 and each["chunks"] == each["stored"]
        for each in (said[name] for name in recorded)
    )
