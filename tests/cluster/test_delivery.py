"""What Knative's delivery does with events: who gets them, who tries again, where they end."""

import pytest

from sluice import cameras
from sluice.contracts.camera import Camera
from tests.cluster.chunks import MODEL, results, source
from tests.cluster.kubernetes import Kubernetes
from tests.endtoend.system import System
from tests.services.line import eventually
from tests.services.segmenter import PUSH_KEY

pytestmark = pytest.mark.triton


def test_each_function_gets_what_its_trigger_says(cluster: Kubernetes, system: System) -> None:
    """Of an opening, an active and an idle chunk: inspect has the first, detect the first two, package the last."""
    with source(system, "filters") as camera:
        opening, active, idle = (camera.put(activity) for activity in ("opening", "active", "idle"))

        def listed() -> bool:
            live = b"".join(system.store.get(each.key).body for each in system.store.list(f"hls/{camera.name}/live"))
            return idle.stem.encode() in live

        eventually("a playlist", listed, within_s=120)
        eventually("detections", lambda: len(results(system, camera.name)) == 2, within_s=120)
        eventually("an inspection", lambda: results(system, camera.name, "inspect", None), within_s=120)

        detected = {each.result_key("detect", MODEL) for each in (active, opening)}
        assert results(system, camera.name) == detected
        assert results(system, camera.name, "inspect", None) == {opening.result_key("inspect")}


def test_later_is_tried_again(cluster: Kubernetes, system: System) -> None:
    """A function that said 503 twice is asked a third time, and what it answers then is what counts."""
    name = "rehearsal-again"
    with source(system, name) as camera:
        system.run("camera", "remove", camera.name, "--keep")
        chunk = camera.put("idle")
        eventually("two refusals", lambda: _refusals(cluster, chunk.key) >= 2, within_s=120, every_s=0.5)

        # In this process: rehearsal is asked for seconds only, and a command's start takes some of them.
        cameras.create(system.store, system.bus, Camera(name=camera.name, push_key=cameras.hashed_key(PUSH_KEY)))

        (told,) = eventually("its answer", lambda: system.messages("rejected", camera.name), within_s=60)
        assert (told["found"], told["chunk"]["key"]) == ("a rehearsal", chunk.key)
        assert camera.name not in system.run("deadletter", "list")


def _refusals(cluster: Kubernetes, key: str) -> int:
    pods = ("--selector=serving.knative.dev/service=rehearsal", "--container=rehearsal", "--tail=200", "--prefix=false")
    lines = cluster.kubectl("logs", *pods, "--ignore-errors").splitlines()
    return sum(key in line and "later: " in line for line in lines)


def test_what_ends_as_a_dead_letter_came_through_the_ingress(cluster: Kubernetes, system: System) -> None:
    """It bears what Knative writes onto an event: when it came, where it could not go, and what was answered."""
    with source(system, "rehearsal-ends") as camera:
        system.run("camera", "remove", camera.name, "--keep")
        camera.put("idle")

        def letter() -> str:
            lines = system.run("deadletter", "list").splitlines()
            return next((line.split()[0] for line in lines if camera.name in line), "")

        shown = system.run("deadletter", "show", eventually("a dead letter", letter, within_s=120, every_s=0.5))

    assert '"knativearrivaltime"' in shown
    assert f'"knativeerrordest": "http://rehearsal.{cluster.namespace}.svc' in shown
    assert '"knativeerrorcode": "503"' in shown
