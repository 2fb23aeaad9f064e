"""infra/triton/triton.yaml: its liveness probe, run against a real server laid out as in the container."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.local.program import free_port
from sluice.local.tools import INSTALL, ROOT, find_triton
from sluice.local.triton import IMAGE, TritonPorts, forget_shared_memory, triton_program
from sluice.models import repository
from sluice.models.added import add_model
from tests.data.models import tiny
from tests.services.server import needed
from tests.services.triton import TritonServer

MANIFEST = ROOT / "infra" / "triton" / "triton.yaml"


def find(program: str) -> Path | None:
    """On PATH."""
    found = shutil.which(program)
    return Path(found) if found else None


def container() -> dict[str, Any]:
    """The one container of the Deployment."""
    (found,) = (each for each in yaml.safe_load_all(MANIFEST.read_text("utf-8")) if each["kind"] == "Deployment")
    only: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return only


class Pod:
    """A server, and the probe that a kubelet would run."""

    def __init__(self, server: TritonServer, models: Path) -> None:
        self.server, self._models = server, models

    def lives(self) -> bool:
        """Run the probe of the manifest, with this server's folder and port."""
        shell, flag, script = container()["livenessProbe"]["exec"]["command"]
        placed = script.replace("in /models/", f"in {self._models}/").replace(":8000/", f":{self.server.ports.http}/")
        return subprocess.run([shell, flag, placed], capture_output=True, timeout=60, check=False).returncode == 0


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """Our models and two of a user's, one of which cannot be loaded; nets are models of their own."""
    home = needed(find_triton(), f"Triton is not on this machine: {INSTALL}")
    needed(find("curl"), "curl is not on this machine: the probe uses it, as the image has it")
    for name in ("mine", "broken"):
        graph = tiny.yolox(tmp_path / "yolox.onnx")
        add_model(tmp_path / "added", name=name, source=graph, style="yolox", labels=tiny.LABELS)
    models = tmp_path / "models"
    repository.assemble(models, added=tmp_path / "added", apart=True)
    (models / "broken" / "1" / "decoding.py").write_text("raise ValueError\n", "utf-8")
    ports = TritonPorts(http=free_port(), grpc=free_port(), metrics=free_port())
    program = triton_program(home=home, repository=models, ports=ports, log=tmp_path / "triton.log")
    server = TritonServer(program, ports)
    try:
        server.start()
        yield Pod(server, models)
    finally:
        server.kill()
        forget_shared_memory(models)


@pytest.mark.triton
def test_a_dead_model_process_ends_the_pod(pod: Pod) -> None:
    """Also one that is not our probe's model; a model that never loaded is no reason."""
    assert pod.lives()
    (stub,) = (pid for pid in pod.server.processes("/mine/") if Path(f"/proc/{pid}/exe").exists())

    os.kill(stub, signal.SIGKILL)

    assert not pod.lives()


@pytest.mark.triton
def test_a_server_that_does_not_answer_ends_the_pod(pod: Pod) -> None:
    """It accepts and says nothing: nobody else would notice."""
    pod.server.freeze()

    assert not pod.lives()


def test_on_a_gpu_more_frames_go_at_once(tmp_path: Path) -> None:
    """Each net has a card there, and each wrapper sends larger batches to it."""
    add_model(
        tmp_path / "added",
        name="mine",
        source=tiny.rtdetr(tmp_path / "graph.onnx"),
        style="rtdetr",
        labels=tiny.LABELS,
    )

    repository.assemble(tmp_path / "models", added=tmp_path / "added", apart=True)

    net = (tmp_path / "models" / "mine_net" / "configs" / "gpu.pbtxt").read_text("utf-8")
    assert "kind: KIND_GPU" in net
    for name in ("mine", "objects"):
        if (tmp_path / "models" / name).exists():
            wrapper = (tmp_path / "models" / name / "configs" / "gpu.pbtxt").read_text("utf-8")
            assert "max_batch_size: 32\n" in wrapper
            assert "count: 2 }" in wrapper


def test_the_image_is_named_once() -> None:
    """Container, command line and documentation mean the same Triton."""
    containerfile = (ROOT / "infra" / "triton" / "Containerfile").read_text("utf-8")
    documents = [ROOT / "infra" / "triton" / "README.md", ROOT / "docs" / "models.md"]

    assert f"FROM {IMAGE}\n" in containerfile
    assert all(
        IMAGE in line for path in documents for line in path.read_text("utf-8").splitlines() if "nvcr.io/" in line
    )


def test_shared_memory_is_mounted() -> None:
    """64 MB, which a container has, hold not even one process."""
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container()["volumeMounts"]  # noqa: S108 (its fixed place)


def test_the_gpu_component_takes_the_gpu_configs(tmp_path: Path) -> None:
    """Rendered by kubectl: a card is asked for, and Triton told which configurations to take."""
    kubectl = needed(find("kubectl"), "kubectl is not on this machine")
    shutil.copytree(ROOT / "infra" / "triton", tmp_path / "triton")
    shutil.copytree(ROOT / "infra" / "knative" / "components" / "gpu", tmp_path / "gpu")
    (tmp_path / "kustomization.yaml").write_text("resources: [triton]\ncomponents: [gpu]\n", "utf-8")

    done = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, timeout=60, check=True)

    (deployment,) = (each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "Deployment")
    triton = deployment["spec"]["template"]["spec"]["containers"][0]
    assert "--model-config-name=gpu" in triton["command"]
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == "1"
