"""What Prometheus and Grafana are told to look at is what the parts export, by name and label."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.exported import Exported, pages

ROOT = Path(__file__).parent.parent.parent
COMPONENT = ROOT / "infra" / "knative" / "components" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((COMPONENT / "dashboard.json").read_text("utf-8"))
RULES: list[dict[str, Any]] = yaml.safe_load((COMPONENT / "alerts.yaml").read_text("utf-8"))["spec"]["groups"][0][
    "rules"
]
MONITORS = list(yaml.safe_load_all((COMPONENT / "podmonitors.yaml").read_text("utf-8")))
QUERIES = sorted(
    {target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])}
    | {rule["expr"] for rule in RULES}
)
METRIC: Final = re.compile(r"\b(?P<name>(?:sluice|minio|nv)_[a-z0-9_]+)(?:\{(?P<labels>[^}]*)\})?")
GROUPING: Final = re.compile(r"\b(?:by|on|without|group_left) \(([^)]*)\)")
OF_OTHERS: Final = {
    "minio_s3_requests_total": {"api"},
    "minio_s3_requests_5xx_errors_total": {"api"},
    "nv_inference_count": {"model"},
    "nv_inference_request_success": {"model"},
    "nv_inference_request_failure": {"model", "reason"},
    "nv_inference_queue_duration_us": {"model"},
    "nv_inference_request_duration_us": {"model"},
}
"""Of the servers; tests/integration/test_dashboard_servers.py asks them."""
CLOSING: Final = {")": "(", "]": "[", "}": "{"}


@cache
def known() -> dict[str, frozenset[str]]:
    """Labels by the names of all samples."""
    return {**Exported(*pages()).labels, **{name: frozenset(labels) for name, labels in OF_OTHERS.items()}}


def problems(query: str) -> Iterator[str]:
    """What in a query nobody exports."""
    names = {found["name"] for found in METRIC.finditer(query)}
    yield from (f"{name}: nobody exports it" for name in names - known().keys())
    labels = {label for name in names for label in known().get(name, ())}
    asked = {label.strip() for held in GROUPING.findall(query) for label in held.split(",")}
    for found in METRIC.finditer(query):
        asked |= set(re.findall(r"(\w+)(?==~?\"|!=|!~)", found["labels"] or ""))
    yield from (f"{label}: no label of {', '.join(sorted(names))}" for label in asked - labels)
    if not balanced(query):
        yield "brackets"


def balanced(query: str) -> bool:
    """Every bracket that is opened is closed by its own kind; those within quotes are text."""
    held: list[str] = []
    for each in re.sub(r'"[^"]*"', "", query):
        if each in CLOSING.values():
            held.append(each)
        elif each in CLOSING and (not held or held.pop() != CLOSING[each]):
            return False
    return not held


@pytest.mark.parametrize("query", QUERIES)
def test_every_name_and_label_of_a_query_is_exported(query: str) -> None:
    """A graph of a metric that was renamed is empty for ever, and nobody is called."""
    assert list(problems(query)) == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("rate(sluice_objects[5m])", "sluice_objects: nobody exports it"),
        ("sum by (le) (rate(sluice_stage_seconds[5m]))", "sluice_stage_seconds: nobody exports it"),
        ("sum by (camera) (sluice_in_flight)", "camera: no label of sluice_in_flight"),
        ('sluice_camera_fps{cam="gate"}', "cam: no label of sluice_camera_fps"),
        ("sum(rate(sluice_in_flight[5m])", "brackets"),
    ],
)
def test_what_is_wrong_is_found(query: str, told: str) -> None:
    """A counter without its suffix, a histogram without its own, labels of others, an open bracket."""
    assert told in list(problems(query))


def test_the_dashboard_is_what_its_panels_say() -> None:
    """dashboard.json is written by dashboard.py and by nobody else: run it."""
    script = f"import runpy; print(runpy.run_path({str(COMPONENT / 'dashboard.py')!r})['rendered'](), end='')"
    made = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert made == (COMPONENT / "dashboard.json").read_text("utf-8")


def test_no_panel_lies_on_another() -> None:
    """Each has its own number and place, and queries that can be told apart."""
    graphs = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    squares = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(squares) == len(set(squares))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in graphs:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
        for target in panel["targets"]:
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert named <= {label for found in METRIC.finditer(target["expr"]) for label in known()[found["name"]]}


def test_the_variable_is_a_label_that_is_there() -> None:
    """Else the dashboard shows no camera."""
    [query] = [each["query"] for each in DASHBOARD["templating"]["list"] if each["name"] == "camera"]
    name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]  # fails if none

    assert label in known()[name]


def test_pods_are_asked_and_never_services() -> None:
    """A Service of Knative leads to the activator, which starts what sleeps; queue-proxy would count the request."""
    assert {each["kind"] for each in MONITORS} == {"PodMonitor"}
    ports = {each["metadata"]["name"]: each["spec"]["podMetricsEndpoints"][0]["port"] for each in MONITORS}
    assert ports["functions"] == ports["gateway"] == "user-port"


def test_every_function_is_asked() -> None:
    """By the label that Knative gives its pods."""
    files = (ROOT / "infra" / "knative" / "base").glob("*.yaml")
    documents = [document for path in files for document in yaml.safe_load_all(path.read_text("utf-8"))]
    functions = {
        each["metadata"]["name"]
        for each in documents
        if each["apiVersion"].startswith("serving.knative.dev/") and each["kind"] == "Service"
    }
    selectors = [each["spec"]["selector"] for each in MONITORS]
    by_list = {name for each in selectors for rule in each.get("matchExpressions", []) for name in rule["values"]}
    by_name = {each["matchLabels"].get("serving.knative.dev/service") for each in selectors if "matchLabels" in each}

    assert functions <= by_list | by_name


def test_every_alert_is_in_the_document() -> None:
    """Who is woken finds what to do; and no other is described."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")

    assert set(re.findall(r"`(Sluice[A-Za-z]+)`", text)) == {rule["alert"] for rule in RULES}


def test_the_component_can_be_added_to_an_overlay(tmp_path: Path) -> None:
    """As kubectl builds it: the bridge's port gets the name that its PodMonitor asks for, the dashboard its label."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH; make test-cluster has one")
    shutil.copytree(COMPONENT, tmp_path / "monitoring")
    shutil.copy(ROOT / "infra" / "knative" / "base" / "bridge.yaml", tmp_path)
    (tmp_path / "kustomization.yaml").write_text("resources: [bridge.yaml]\ncomponents: [monitoring]\n")

    made = subprocess.run([kubectl, "kustomize", str(tmp_path)], check=True, capture_output=True, text=True).stdout

    built = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(made)}
    [container] = built["Deployment", "bridge"]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"containerPort": 8080, "name": "http"}]
    assert built["ConfigMap", "sluice-dashboard"]["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert json.loads(built["ConfigMap", "sluice-dashboard"]["data"]["sluice.json"]) == DASHBOARD
    assert {name for kind, name in built if kind == "PodMonitor"} == {each["metadata"]["name"] for each in MONITORS}
