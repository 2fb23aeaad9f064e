"""The files as they ship, to those who take them: kn, and Knative's webhooks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.images import ROOT
from tests.cluster.kubernetes import ClusterError, Kubernetes, is_ready
from tests.cluster.overlay import MARK

BASE = ROOT / "infra" / "knative" / "base"
FUNCTIONS = sorted(
    path for path in BASE.glob("*.yaml") if path.read_text("utf-8").startswith("apiVersion: serving.knative.dev/v1")
)
"""Those whose first document is a Knative Service: kn reads no other."""


@pytest.fixture(scope="module")
def elsewhere(cluster: Kubernetes) -> Iterator[Kubernetes]:
    """A namespace with what the files refer to, and nothing else."""
    mine = cluster.elsewhere(f"{cluster.namespace}-kn")
    mine.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": mine.namespace, "labels": {MARK: "true"}}}
    )
    for thing in (*cluster.every("configmaps"), *cluster.every("secrets")):
        if thing["metadata"]["name"].startswith("sluice"):
            mine.apply(_copied(thing))
    yield mine
    mine.kubectl("delete", "namespace", mine.namespace, "--wait=false")


def _copied(thing: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: thing[key] for key in ("apiVersion", "kind", "data", "type") if key in thing}
    return {**kept, "metadata": {"name": thing["metadata"]["name"]}}


def test_kn_applies_every_function_file(elsewhere: Kubernetes, cluster: Kubernetes) -> None:
    """Unmodified but for the image; each becomes Ready."""
    image = cluster.get("ksvc", "inspect")["spec"]["template"]["spec"]["containers"][0]["image"]

    def apply(path: Path) -> str:
        return elsewhere.kn("service", "apply", "--filename", str(path), "--image", image, "--wait-timeout", "240")

    with ThreadPoolExecutor(2) as pool:
        said = dict(zip(FUNCTIONS, pool.map(apply, FUNCTIONS), strict=True))
    found = {each["metadata"]["name"]: each for each in elsewhere.every("ksvc")}

    assert {path.stem for path in FUNCTIONS} >= {"inspect", "detect", "package", "index", "sweep", "gateway"}
    assert set(found) == {path.stem for path in FUNCTIONS}
    assert all(is_ready(each) for each in found.values()), said


SERVICE: dict[str, Any] = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "bad"}}
TRIGGER: dict[str, Any] = {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "bad"}}


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (
            {
                **SERVICE,
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "-1"}},
                        "spec": {"containers": [{"image": "sluice:dev"}]},
                    }
                },
            },
            "min-scale",
        ),
        (
            {
                **SERVICE,
                "spec": {
                    "template": {"spec": {"containers": [{"image": "sluice:dev", "ports": [{"containerPort": 9090}]}]}}
                },
            },
            "containerPort",
        ),
        (
            {
                **TRIGGER,
                "spec": {
                    "broker": "default",
                    "filters": [{"exact": {"Not-A-Name": "x"}}],
                    "subscriber": {"uri": "http://example.test"},
                },
            },
            "filters",
        ),
    ],
    ids=["scale", "port", "filter"],
)
def test_what_knative_forbids_is_refused(cluster: Kubernetes, manifest: dict[str, Any], reason: str) -> None:
    """Its webhooks are there and look: what ships has passed them."""
    with pytest.raises(ClusterError, match="denied the request") as refusal:
        cluster.apply(manifest)

    assert reason in str(refusal.value)
