"""The overlays, as kubectl builds them; it needs no cluster."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.local.tools import ROOT
from sluice.preparation.access import PARTS
from sluice.preparation.secrets import load_or_create, write_authorization

CLUSTER_WIDE = {"Namespace", "PersistentVolume", "ClusterDomainClaim"}
NAMED = """\
resources: [../production]
components: [../../components/ingress]
"""

Kustomize = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy: the secrets of a test are nobody's business."""
    for name in ("infra", "triggers"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("secrets", "config.env", "*.py"))
    return tmp_path


@pytest.fixture
def kustomize(tree: Path) -> Kustomize:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH; make test-cluster runs this, too")

    def build(overlay: str) -> subprocess.CompletedProcess[str]:
        command = [kubectl, "kustomize", str(tree / "infra" / "knative" / "overlays" / overlay)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return build


def with_secrets(tree: Path, overlay: str) -> Path:
    folder = tree / "infra" / "knative" / "overlays" / overlay
    write_authorization(folder / "secrets", load_or_create(folder / "secrets"))
    return folder


def with_config(folder: Path) -> None:
    shutil.copy(folder / "config.env.example", folder / "config.env")


def built(answer: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], dict[str, Any]]:
    assert answer.returncode == 0, answer.stderr
    found = [each for each in yaml.safe_load_all(answer.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_without_secrets_it_fails_and_names_the_file(tree: Path, kustomize: Kustomize, overlay: str) -> None:
    """Nothing is ever let in by a password that everybody knows."""
    folder = tree / "infra" / "knative" / "overlays" / overlay
    if overlay == "production":
        with_config(folder)

    answer = kustomize(overlay)

    assert answer.returncode != 0
    assert str(folder / "secrets" / "admin.env") in answer.stderr


def test_production_without_its_servers_fails_and_names_the_file(tree: Path, kustomize: Kustomize) -> None:
    """The example's addresses are nobody's."""
    folder = with_secrets(tree, "production")

    answer = kustomize("production")

    assert answer.returncode != 0
    assert str(folder / "config.env") in answer.stderr


def test_the_local_overlay_has_everything_in_one_namespace(tree: Path, kustomize: Kustomize) -> None:
    """Store, NATS, Triton, their volumes; a Job that prepares them."""
    with_secrets(tree, "local")

    found = built(kustomize("local"))

    assert {each["metadata"].get("namespace") for (kind, _), each in found.items() if kind not in CLUSTER_WIDE} == {
        "sluice"
    }
    assert {("StatefulSet", "minio"), ("StatefulSet", "nats"), ("Deployment", "triton"), ("Job", "init")} <= set(found)
    for name in ("minio", "nats", "segmenter"):
        spec = found["StatefulSet", name]["spec"]
        (first,) = spec["template"]["spec"]["initContainers"]
        (claim,) = spec["volumeClaimTemplates"]
        (mount,) = first["volumeMounts"]
        sizes = [each["spec"]["capacity"]["storage"] for (kind, _), each in found.items() if kind == "PersistentVolume"]
        assert first["securityContext"]["runAsUser"] == 0
        assert mount["name"] == claim["metadata"]["name"]
        # By its size alone a claim finds its volume.
        assert sizes.count(claim["spec"]["resources"]["requests"]["storage"]) == 1


def test_the_production_overlay_brings_no_servers_and_nobody_who_is_root(tree: Path, kustomize: Kustomize) -> None:
    """Not even to begin with."""
    with_config(with_secrets(tree, "production"))

    found = built(kustomize("production"))

    assert [name for kind, name in found if kind == "StatefulSet"] == ["segmenter"]
    assert "initContainers" not in found["StatefulSet", "segmenter"]["spec"]["template"]["spec"]
    assert found["Broker", "default"]["spec"]["config"]["name"] == "sluice-broker"
    assert ("ConfigMap", "sluice-broker") in found
    gateway = found["Service", "gateway"]["spec"]["template"]["metadata"]["annotations"]
    assert gateway["autoscaling.knative.dev/min-scale"] == "2"
    assert gateway["autoscaling.knative.dev/window"] == "60s"
    assert found["ConfigMap", "sluice"]["data"]["SLUICE_S3_URL"] == "https://s3.example.com"


def test_the_job_gets_every_parts_secrets_as_files(tree: Path, kustomize: Kustomize) -> None:
    """As the folder has them: it makes none anew."""
    with_secrets(tree, "local")

    found = built(kustomize("local"))

    assert set(found["Secret", "sluice-init"]["data"]) == {f"{part}.env" for part in PARTS}
    (volume,) = (
        each for each in found["Job", "init"]["spec"]["template"]["spec"]["volumes"] if each["name"] == "secrets"
    )
    assert volume["secret"]["secretName"] == "sluice-init"


def test_the_ingress_is_named_as_its_comment_says(tree: Path, kustomize: Kustomize) -> None:
    """What stands there is pasted by whoever uses it."""
    folder = with_secrets(tree, "production")
    with_config(folder)
    lines = (
        (tree / "infra" / "knative" / "components" / "ingress" / "kustomization.yaml").read_text("utf-8").split("\n")
    )
    comment = "\n".join(line[4:] for line in lines[1:] if line.startswith("#   "))
    (folder.parent / "named").mkdir()
    (folder.parent / "named" / "kustomization.yaml").write_text(NAMED + comment, "utf-8")

    found = built(kustomize("named"))

    assert ("ClusterDomainClaim", "cameras.example.org") in found
    mapping = found["DomainMapping", "cameras.example.org"]
    assert mapping["metadata"]["namespace"] == mapping["spec"]["ref"]["namespace"] == "sluice"
    (rule,) = found["Ingress", "ingest"]["spec"]["rules"]
    assert rule["host"] == "ingest.example.org"
    assert [each["path"] for each in rule["http"]["paths"]] == ["/ingest/"]


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_no_name_was_made_up(tree: Path, kustomize: Kustomize, overlay: str) -> None:
    """What kn applies refers to the names that stand in the files."""
    folder = with_secrets(tree, overlay)
    if overlay == "production":
        with_config(folder)

    found = built(kustomize(overlay))

    wanted = {"Secret": {f"sluice-{part}" for part in PARTS}, "ConfigMap": {"sluice", "sluice-triggers"}}
    for kind, names in wanted.items():
        assert names <= {name for each, name in found if each == kind}
