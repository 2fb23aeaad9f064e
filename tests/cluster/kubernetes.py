"""A cluster by kubectl and kn, as KUBECONFIG names it: asked, changed, waited for."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_S = 600


class ClusterError(Exception):
    """A command that the cluster, or its absence, made fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """One namespace of it."""

    namespace: str

    def kubectl(self, *arguments: str, given: str | None = None, timeout_s: float = LONGEST_S) -> str:
        """What a kubectl command says; raises ClusterError when it fails."""
        return _run(["kubectl", "--namespace", self.namespace, *arguments], given=given, timeout_s=timeout_s)

    def kn(self, *arguments: str) -> str:
        """The same of kn."""
        return _run(["kn", "--namespace", self.namespace, *arguments], given=None, timeout_s=LONGEST_S)

    def every(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Every object of a kind, or those that a selector chooses."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", kind, "--output=json", *arguments))["items"]
        return found

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """One object; raises ClusterError when it is not there."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def has(self, kind: str, name: str) -> bool:
        """Whether it is there."""
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "--output=name").strip())

    def apply(self, *documents: dict[str, Any]) -> None:
        """As objects that were made by hand."""
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(documents)})
        self.kubectl("apply", "--filename=-", given=given)

    def pods(self, *selectors: str) -> "Sequence[dict[str, Any]]":
        """Those that match every selector, those that end included."""
        return self.every("pods", *([f"--selector={','.join(selectors)}"] if selectors else []))

    def pods_of(self, service: str) -> "Sequence[dict[str, Any]]":
        """A Knative Service's, that are not ending: who ends takes no new work, and needs half a minute for it."""
        found = self.pods(f"serving.knative.dev/service={service}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def metrics(self, workload: str) -> str:
        """What the first pod of a workload exports."""
        pod = next(each for each in self.pods(f"app={workload}") if is_ready(each))
        address = f"/api/v1/namespaces/{self.namespace}/pods/{name_of(pod)}:8080/proxy/metrics"
        return self.kubectl("get", "--raw", address)

    def elsewhere(self, namespace: str) -> "Kubernetes":
        """Another namespace of the same cluster."""
        return Kubernetes(namespace=namespace)


def name_of(thing: dict[str, Any]) -> str:
    """What it is called."""
    name: str = thing["metadata"]["name"]
    return name


def is_ready(thing: dict[str, Any], condition: str = "Ready") -> bool:
    """Whether its status says so, of this very version of it."""
    status = thing.get("status", {})
    current = status.get("observedGeneration", thing["metadata"].get("generation")) == thing["metadata"].get(
        "generation"
    )
    return current and any(
        each["type"] == condition and each["status"] == "True" for each in status.get("conditions", ())
    )


def _run(command: list[str], *, given: str | None, timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{command[0]} is not on PATH") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(command)}: no end within {timeout_s:g} s") from error
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
