"""The production overlay's NetworkPolicies, evaluated: every flow that the line needs passes, others do not.

Ports are those that a pod listens at: policies are asked after a Service has been resolved.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.manifests import FUNCTIONS, OVERLAYS, documents

POLICIES = documents(OVERLAYS / "production" / "network.yaml")
INTERNET = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class Pod:
    """Its labels, or none that matter; a namespace, or anywhere outside."""

    namespace: str
    labels: tuple[tuple[str, str], ...] = ()


def part(name: str) -> Pod:
    key = "serving.knative.dev/service" if name in FUNCTIONS else "app"
    return Pod("sluice", ((key, name),))


KOURIER, SERVING = Pod("kourier-system"), Pod("knative-serving")
EVENTING, PROMETHEUS, DNS = Pod("knative-eventing"), Pod("monitoring"), Pod("kube-system")
INGRESS, STRANGER, OUTSIDE = Pod("ingress-nginx"), Pod("default"), Pod(INTERNET)
PARTS = [part(name) for name in (*FUNCTIONS, "bridge", "segmenter", "init")]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    present = [each["key"] for each in selector.get("matchExpressions", ()) if each["operator"] == "Exists"]
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    return wanted.items() <= labels.items() and set(present) <= set(labels)


def is_peer(pod: Pod, peers: list[dict[str, Any]] | None) -> bool:
    if peers is None:
        return True
    names = {"kubernetes.io/metadata.name": pod.namespace}
    return pod.namespace != INTERNET and any(selects(each["namespaceSelector"], names) for each in peers)


def has_port(rule: dict[str, Any], port: int, protocol: str) -> bool:
    if "ports" not in rule:
        return True
    said = ((each.get("port", port), each.get("protocol", "TCP")) for each in rule["ports"])
    return (port, protocol) in said


def open_for(pod: Pod, other: Pod, port: int, protocol: str, *, direction: str, peer: str) -> bool:
    """As Kubernetes reads policies: none that selects the pod, all is open; else what any of them says."""
    if pod.namespace != "sluice":
        return True
    mine = [
        each["spec"]
        for each in POLICIES
        if direction in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], dict(pod.labels))
    ]
    rules = [rule for spec in mine for rule in spec.get(direction.lower(), ())]
    return not mine or any(is_peer(other, rule.get(peer)) and has_port(rule, port, protocol) for rule in rules)


def passes(source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
    """Out of the one and into the other."""
    leaves = open_for(source, target, port, protocol, direction="Egress", peer="to")
    return leaves and open_for(target, source, port, protocol, direction="Ingress", peer="from")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_called_and_counted(function: str) -> None:
    """By kourier, by the activator while they are at zero, and by the autoscaler, at queue-proxy's ports."""
    assert passes(KOURIER, part(function), 8012)
    assert passes(SERVING, part(function), 8012)
    assert passes(SERVING, part(function), 8013)
    assert passes(SERVING, part(function), 9090)


def test_events_go_to_the_broker_and_dead_letters_come_back() -> None:
    """The Broker's ingress listens at 8080, its Service at 80."""
    assert passes(part("bridge"), EVENTING, 8080)
    assert passes(EVENTING, part("bridge"), 8080)


@pytest.mark.parametrize("pod", PARTS, ids=lambda pod: pod.labels[0][1])
def test_every_part_finds_its_servers(pod: Pod) -> None:
    """The Job, too; by name, so DNS comes first. The ports are those of config.env.example."""
    example = (OVERLAYS / "production" / "config.env.example").read_text("utf-8")

    assert passes(pod, DNS, 53, "UDP")
    assert passes(pod, DNS, 53)
    for port, sign in ((443, "https://"), (4222, ":4222"), (8001, ":8001"), (9000, "")):
        assert sign in example
        assert passes(pod, OUTSIDE, port)


@pytest.mark.parametrize("port", [554, 80, 1935, 8554])
def test_the_segmenter_pulls_from_cameras_anywhere(port: int) -> None:
    """Nobody knows their ports beforehand."""
    assert passes(part("segmenter"), OUTSIDE, port)


def test_cameras_push_from_anywhere() -> None:
    """RTMP, and a UDP port each; HTTP by an ingress inside the cluster."""
    assert passes(OUTSIDE, part("segmenter"), 1935)
    assert passes(OUTSIDE, part("segmenter"), 5004, "UDP")
    assert passes(INGRESS, part("segmenter"), 8080)
    assert not passes(OUTSIDE, part("segmenter"), 8080)


@pytest.mark.parametrize("pod", PARTS, ids=lambda pod: pod.labels[0][1])
def test_prometheus_asks_every_pod(pod: Pod) -> None:
    """At the part's own port."""
    assert passes(PROMETHEUS, pod, 8080)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_that_was_taken_over_gets_nowhere(function: str) -> None:
    """Neither to the other parts nor out."""
    for port in (22, 80, 8080):
        assert not passes(part(function), OUTSIDE, port)
    assert not passes(part(function), part("bridge"), 8080)
    assert not passes(part(function), part("segmenter"), 8080)
    assert not passes(part(function), EVENTING, 8080)


@pytest.mark.parametrize("pod", PARTS[:-2], ids=lambda pod: pod.labels[0][1])
@pytest.mark.parametrize("stranger", [STRANGER, OUTSIDE], ids=["another namespace", "outside"])
def test_strangers_reach_no_part_but_the_segmenter(pod: Pod, stranger: Pod) -> None:
    """A function believes whoever calls it."""
    assert not any(passes(stranger, pod, port) for port in (8080, 8012, 9090))
