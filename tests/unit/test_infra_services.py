"""Each function's Knative Service: what Knative takes, and scaling that fits the work."""

from typing import Any

import pytest

from tests.manifests import FUNCTIONS, ksvc

ANY: Any = ...
PROBE = {
    "httpGet": {"path": ANY, "httpHeaders": ANY},
    **dict.fromkeys(("periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold"), ANY),
}
CONTAINER = {
    **dict.fromkeys(("name", "image", "command", "args", "env", "envFrom", "resources", "imagePullPolicy"), ANY),
    "ports": [{"containerPort": ANY, "name": ANY}],
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
    "securityContext": {
        **dict.fromkeys(("allowPrivilegeEscalation", "readOnlyRootFilesystem", "runAsNonRoot", "runAsUser"), ANY),
        "capabilities": {"drop": ANY},
        "seccompProfile": {"type": ANY},
    },
    "volumeMounts": [{"name": ANY, "mountPath": ANY, "readOnly": ANY}],
}
TAKEN = {
    "apiVersion": ANY,
    "kind": ANY,
    "metadata": {"name": ANY, "labels": ANY, "annotations": ANY},
    "spec": {
        "template": {
            "metadata": {"annotations": ANY, "labels": ANY},
            "spec": {
                "containerConcurrency": ANY,
                "timeoutSeconds": ANY,
                "automountServiceAccountToken": ANY,
                "containers": [CONTAINER],
                "volumes": [{"name": ANY, "emptyDir": ANY, "configMap": ANY, "secret": ANY, "projected": ANY}],
            },
        }
    },
}
"""What Serving takes with every feature flag at its default (pkg/apis/serving/fieldmask.go), as far as it is used here:
among what it refuses are a pod's securityContext, init containers, other volumes, and a container's lifecycle."""
DRAIN_S = 30
"""A pod that goes is kept so long by queue-proxy, after its last request."""


def unknown(found: Any, taken: Any, where: str = "") -> list[str]:
    """Fields that stand in no table."""
    if taken is ANY:
        return []
    if isinstance(taken, list):
        return [each for index, item in enumerate(found) for each in unknown(item, taken[0], f"{where}[{index}]")]
    return [
        each
        for name, value in found.items()
        for each in (unknown(value, taken[name], f"{where}.{name}") if name in taken else [f"{where}.{name}"])
    ]


def template(function: str) -> dict[str, Any]:
    found: dict[str, Any] = ksvc(function)["spec"]["template"]
    return found


def scale(function: str, name: str) -> str:
    return str(template(function)["metadata"]["annotations"][f"autoscaling.knative.dev/{name}"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_file_begins_with_its_service(function: str) -> None:
    """The first document is all that kn reads."""
    found = ksvc(function)

    assert (found["apiVersion"], found["kind"]) == ("serving.knative.dev/v1", "Service")
    assert found["metadata"]["name"] == function


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_service_has_only_what_knative_takes(function: str) -> None:
    """With every feature flag at its default."""
    found = ksvc(function)
    (container,) = found["spec"]["template"]["spec"]["containers"]

    assert unknown(found, TAKEN) == []
    assert not {each["name"] for each in container["env"]} & {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
    assert all(isinstance(each, str) for each in template(function)["metadata"]["annotations"].values())
    assert not [each for each in found["metadata"].get("annotations", ()) if each.startswith("autoscaling.")]


def test_the_table_finds_what_it_does_not_know() -> None:
    """Below lists, too."""
    spec = {"containers": [{"name": "a", "lifecycle": {}}], "initContainers": []}

    found = unknown(spec, {"containers": [CONTAINER]}, "spec")

    assert found == ["spec.containers[0].lifecycle", "spec.initContainers"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_the_gateway_is_reached_from_outside(function: str) -> None:
    """The others ask nobody who they are."""
    labels = ksvc(function)["metadata"].get("labels", {})

    assert (labels.get("networking.knative.dev/visibility") == "cluster-local") == (function != "gateway")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_service_is_told_how_many_it_gets(function: str) -> None:
    """Its threads are counted from it."""
    spec = template(function)["spec"]
    (container,) = spec["containers"]

    assert {"name": "SLUICE_CONCURRENCY", "value": str(spec["containerConcurrency"])} in container["env"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_pod_that_goes_has_time_for_its_last_request(function: str) -> None:
    """Kubernetes kills it after timeoutSeconds, the drain included; Knative takes no more than 600."""
    assert 2 * DRAIN_S <= template(function)["spec"]["timeoutSeconds"] <= 600


@pytest.mark.parametrize("function", ["inspect", "detect", "package"])
def test_two_minutes_after_the_last_chunk_no_pod_is_left(function: str) -> None:
    """The window, at most 30 s until the route leads to the activator, and the drain."""
    window = int(scale(function, "window").removesuffix("s"))

    assert window + 30 + DRAIN_S <= 100


@pytest.mark.parametrize("function", ["sweep", "index"])
def test_none_is_wanted_between_two_pings(function: str) -> None:
    """The least that Knative takes; and one at a time."""
    assert scale(function, "window") == "6s"
    assert scale(function, "max-scale") == "1"
