"""`python -m tests.cluster.deployed`: the line on the cluster that KUBECONFIG names, tested, and taken away again."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.preparation.access import ADMIN
from sluice.preparation.secrets import load_or_create
from tests.cluster import diagnosis, figures
from tests.cluster.images import ROOT
from tests.cluster.kubernetes import ClusterError, Kubernetes, name_of
from tests.cluster.overlay import DATA, MARK, NAMESPACE, Overlay, servers_of

TESTS = ("tests/unit/test_infra_kustomize.py", "tests/cluster", "tests/endtoend")
READY_S = 300
EMPTY_S = 60
FUNCTIONS = ("inspect", "detect", "package", "index", "sweep", "gateway")


def main(arguments: list[str]) -> int:
    """Apply, test, delete; the tests' status."""
    cluster = Kubernetes(namespace=NAMESPACE)
    keep = "--keep" in arguments
    chosen = [each for each in arguments if each != "--keep"]
    images = {"sluice": os.environ["SLUICE_IMAGE"], "triton": os.environ["SLUICE_TRITON_IMAGE"]}
    with tempfile.TemporaryDirectory(prefix="sluice-cluster-") as folder, _namespace(cluster, images, keep=keep):
        overlay = Overlay(home=Path(folder))
        overlay.write(**images, servers=servers_of(cluster))
        began = time.time()
        try:
            _apply(cluster, overlay)
            environment = _environment(cluster, overlay, began=began)
        except ClusterError as error:
            print(f"{error}\n{diagnosis.of(cluster)}", file=sys.stderr)
            return 1
        print(f"everything is Ready after {time.time() - began:.1f} s", flush=True)
        status = _test(environment, chosen)
        if status:
            print(diagnosis.of(cluster), file=sys.stderr)
    print(figures.told())
    return status


@contextmanager
def _namespace(cluster: Kubernetes, images: dict[str, str], *, keep: bool) -> Iterator[None]:
    if cluster.has("namespace", NAMESPACE):
        labels = cluster.get("namespace", NAMESPACE)["metadata"].get("labels", {})
        if MARK not in labels:
            sys.exit(f"the cluster has a namespace {NAMESPACE} that is not of these tests: not touched")
    _remove(cluster, images)
    try:
        yield
    finally:
        if not keep:
            _remove(cluster, images)


def _remove(cluster: Kubernetes, images: dict[str, str]) -> None:
    """Whatever a run left: namespaces, volumes, and their files on the node."""
    for namespace in cluster.every("namespaces", f"--selector={MARK}"):
        _empty(cluster.elsewhere(name_of(namespace)))
    cluster.kubectl("delete", "namespace", f"--selector={MARK}", "--ignore-not-found", "--timeout=180s")
    cluster.kubectl("delete", "persistentvolume", f"--selector={MARK}", "--ignore-not-found", "--timeout=60s")
    program = "import os, shutil; [shutil.rmtree(each.path) for each in os.scandir('/data')]"
    cleaner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "sluice-tests-cleaner"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "cleaner",
                    "image": images["sluice"],
                    "command": ["python", "-c", program],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "hostPath": {"path": DATA, "type": "DirectoryOrCreate"}}],
        },
    }
    default = cluster.elsewhere("default")
    default.kubectl("delete", "pod", "sluice-tests-cleaner", "--ignore-not-found")
    default.apply(cleaner)
    phase = "--for=jsonpath={.status.phase}=Succeeded"
    default.kubectl("wait", "pod/sluice-tests-cleaner", phase, "--timeout=120s")
    default.kubectl("delete", "pod", "sluice-tests-cleaner", "--wait=false")


def _empty(cluster: Kubernetes) -> None:
    """End its pods now: a namespace that waits for one looks again after half of the time that the pod may take."""
    cluster.kubectl("delete", "ksvc,pingsources,statefulsets,deployments,jobs", "--all", "--wait=false")
    deadline = time.monotonic() + EMPTY_S
    while cluster.pods() and time.monotonic() < deadline:
        cluster.kubectl("delete", "pods", "--all", "--grace-period=0", "--force")
        time.sleep(1)


def _apply(cluster: Kubernetes, overlay: Overlay) -> None:
    cluster.kubectl("apply", "--kustomize", str(overlay.folder))
    waiting = f"--timeout={READY_S}s"
    for workload in ("statefulset/nats", "statefulset/minio"):
        cluster.kubectl("rollout", "status", workload, waiting)
    cluster.kubectl("wait", "job/init", "--for=condition=Complete", waiting)
    for workload in ("deployment/bridge", "statefulset/segmenter", "deployment/triton"):
        cluster.kubectl("rollout", "status", workload, waiting)
    ready = ("--all", "--for=condition=Ready", waiting)
    for kind in ("services.serving.knative.dev", "brokers", "triggers", "pingsources", "sinkbindings"):
        cluster.kubectl("wait", kind, *ready)


def _environment(cluster: Kubernetes, overlay: Overlay, *, began: float) -> dict[str, str]:
    """The line as whoever operates it names it."""
    configured: dict[str, str] = cluster.get("configmap", "sluice")["data"]
    return {
        **os.environ,
        **configured,
        **load_or_create(overlay.secrets).part(ADMIN),
        "SLUICE_GATEWAY_URL": cluster.get("services.serving.knative.dev", "gateway")["status"]["url"],
        "SLUICE_BROKER_URL": cluster.get("broker", "default")["status"]["address"]["url"],
        "SLUICE_SEGMENTER_URL": f"http://segmenter.{NAMESPACE}.svc.cluster.local",
        figures.BEGAN: str(began),
        figures.FILE: str(figures.place()),
        # Nothing is left out for want of anything.
        "CI": "true",
    }


def _test(environment: dict[str, str], chosen: list[str]) -> int:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(chosen or TESTS)]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
