"""What is applied: overlays/local as it ships, on a copy, with the images under test and room for them."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.images import ROOT
from tests.cluster.kubernetes import Kubernetes

NAMESPACE = "sluice"
MARK = "sluice.dev/tests"
"""A label of what these tests made and may delete."""
DATA = "/var/lib/sluice-tests"
"""On the node."""
SERVERS = ("minio/minio", "nats")
"""What a node without a way out has under other tags than ours."""
VOLUMES = ("sluice-minio", "sluice-nats", "sluice-spool")
REHEARSAL = ROOT / "tests" / "endtoend" / "rehearsal.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A copy of the shipped manifests with secrets of its own."""

    home: Path

    @property
    def folder(self) -> Path:
        """What `kubectl apply -k` is given."""
        return self.home / "infra" / "knative" / "overlays" / "tested"

    @property
    def secrets(self) -> Path:
        """As `sluice init --secrets` writes them."""
        return self.home / "infra" / "knative" / "overlays" / "local" / "secrets"

    def write(self, *, sluice: str, triton: str, servers: dict[str, str]) -> None:
        """All of it; *servers* are images by their name."""
        for place in ("infra", "triggers"):
            shutil.copytree(ROOT / place, self.home / place, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
        self._make_secrets()
        self.folder.mkdir()
        shutil.copy(REHEARSAL, self.folder)
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": NAMESPACE,
            "resources": ["../local", REHEARSAL.name],
            "components": ["../../components/jetstream-broker"],
            "images": [_image(name, full) for name, full in _images(sluice, triton, servers).items()],
            "patches": _patches(),
        }
        (self.folder / "kustomization.yaml").write_text(json.dumps(content, indent=1), "utf-8")

    def _make_secrets(self) -> None:
        command = [sys.executable, "-m", "sluice.cli.main", "init", "--secrets", str(self.secrets)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)


def servers_of(cluster: Kubernetes) -> dict[str, str]:
    """MinIO and NATS as the nodes have them; those that none has are pulled, as the manifests name them."""
    images = [each for node in cluster.every("nodes") for each in node["status"].get("images", ())]
    held = [name for each in images for name in each.get("names") or ()]
    found = {
        server: [name for name in held if name.partition(":")[0] == f"docker.io/{_path(server)}" and "@" not in name]
        for server in SERVERS
    }
    return {server: names[0] for server, names in found.items() if names}


def _path(image: str) -> str:
    return image if "/" in image else f"library/{image}"


def _images(sluice: str, triton: str, servers: dict[str, str]) -> dict[str, str]:
    return {"sluice": sluice, "sluice-triton": triton, **servers}


def _image(name: str, full: str) -> dict[str, str]:
    repository, _, tag = full.rpartition(":")
    return {"name": name, "newName": repository, "newTag": tag}


def _patches() -> list[dict[str, Any]]:
    cpu = {"op": "replace", "path": "/spec/template/spec/containers/0/resources/requests/cpu", "value": "10m"}
    kinds = [("serving.knative.dev", "Service"), ("apps", "Deployment"), ("apps", "StatefulSet")]
    # Two cores carry all of it, but not what all of it asks to have for itself.
    small = [{"target": {"group": group, "kind": kind}, "patch": json.dumps([cpu])} for group, kind in kinds]
    marked = [{"op": "add", "path": "/metadata/labels", "value": {MARK: "true"}}]
    return [
        *small,
        {"target": {"kind": "Namespace"}, "patch": json.dumps(marked)},
        *(
            {"target": {"kind": "PersistentVolume", "name": name}, "patch": json.dumps(_placed(name))}
            for name in VOLUMES
        ),
    ]


def _placed(volume: str) -> list[dict[str, Any]]:
    return [
        {"op": "replace", "path": "/spec/hostPath/path", "value": f"{DATA}/{volume}"},
        {"op": "add", "path": "/metadata/labels", "value": {MARK: "true"}},
    ]
