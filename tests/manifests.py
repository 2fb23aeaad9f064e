"""The manifests as the repository has them, before kustomize: what is in a file, what an overlay gathers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sluice.local.tools import ROOT

KNATIVE = ROOT / "infra" / "knative"
OVERLAYS = KNATIVE / "overlays"
FUNCTIONS = tuple(sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py")))


@cache
def documents(path: Path) -> list[dict[str, Any]]:
    """All of a file; nobody changes them."""
    return [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def ksvc(function: str) -> dict[str, Any]:
    """What `kn service apply -f` reads of a function's file: the first document."""
    return documents(KNATIVE / "base" / f"{function}.yaml")[0]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What an overlay consists of; its patches are not applied."""

    documents: list[dict[str, Any]]
    generated: dict[str, dict[str, Any]]
    """ConfigMaps and Secrets that kustomize makes, by "ConfigMap/name"."""

    def containers(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Name of the object, its pod's spec, a container."""
        for each in self.documents:
            template = each.get("spec", {}).get("template")
            if template:
                pod = template["spec"]
                yield from ((each["metadata"]["name"], pod, container) for container in pod["containers"])


def gather(folder: Path) -> Gathered:
    """Everything that the kustomization in *folder* names, and those named by it."""
    kustomization = documents(folder / "kustomization.yaml")[0]
    found = Gathered([], {})
    for name in (*kustomization.get("resources", ()), *kustomization.get("components", ())):
        path = (folder / name).resolve()
        if path.is_dir():
            below = gather(path)
            found.documents.extend(below.documents)
            found.generated.update(below.generated)
        else:
            found.documents.extend(documents(path))
    for kind in ("ConfigMap", "Secret"):
        generators = kustomization.get(f"{kind[0].lower()}{kind[1:]}Generator", ())
        found.generated.update({f"{kind}/{each['name']}": each for each in generators})
    return found
