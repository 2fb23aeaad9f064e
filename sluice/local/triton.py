"""Triton on this machine: the server of the nvidia-pytriton wheel, in an environment of its own."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sluice.errors import UnavailableError, UnusableInputError
from sluice.inference import TritonDetector
from sluice.local.program import Program
from sluice.models.repository import CATALOGUE, MODELS, assemble
from sluice.settings import DetectorSettings

__all__ = ["CATALOGUE", "MODELS", "TritonPorts", "assemble", "forget_shared_memory", "infers", "triton_program"]

PROBE = "squares"
"""The model that says whether the server works; it needs no weights, so it is always there."""
IMAGE = "nvcr.io/nvidia/tritonserver:26.07-py3"
"""NVIDIA's, the same as in infra/triton/Containerfile."""
EXIT_TIMEOUT_S = 10
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (not a temporary file: the python backend's fixed place)


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonPorts:
    """Its three loopback ports."""

    http: int
    grpc: int
    metrics: int


def triton_program(*, home: Path, repository: Path, ports: TritonPorts, log: Path) -> Program:
    """How to run it; *home* holds its environment (tools.find_triton), *repository* the assembled models."""
    packages = next((home / "venv" / "lib").glob("python3.*/site-packages"))
    memory = shared_memory_prefix(repository)
    return Program(
        name="triton",
        command=(
            str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={home / 'backends'}",
            "--disable-auto-complete-config",
            # Everything is loaded at the start, and `sluice model add` may load more.
            "--model-control-mode=explicit",
            "--load-model=*",
            # One broken model must not take the good ones along; readiness is an inference, not the server's word.
            "--exit-on-error=false",
            "--strict-readiness=false",
            f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
            *_addresses(ports),
            *(f"--backend-config={backend},shm-region-prefix-name={memory}" for backend in ("python", "onnxruntime")),
        ),
        log=log,
        ready=lambda: infers(f"127.0.0.1:{ports.grpc}", PROBE, timeout_s=3),
        # The python backend's stub takes its environment from the first python3 on PATH and ignores all PYTHON*
        # variables; a copied stub has lost its rpath, and without these libraries the server hangs.
        environment={
            "PATH": f"{home / 'venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": f"{home / 'lib'}{os.pathsep}{packages / 'nvidia_pytriton.libs'}",
            # Since 1.31 onnxruntime tells its maker about machine and models; a private line tells nobody.
            "ORT_DISABLE_TELEMETRY": "1",
        },
    )


def _addresses(ports: TritonPorts) -> Iterable[str]:
    for name, port in (("http", ports.http), ("grpc", ports.grpc), ("metrics", ports.metrics)):
        yield f"--{name}-address=127.0.0.1"
        yield f"--{name}-port={port}"


def infers(url: str, model: str | None = None, *, timeout_s: float = 10.0) -> bool:
    """True when real inferences succeed, of *model* or of each that is ready; health routes do not notice dead ones."""
    detector = TritonDetector(DetectorSettings(url=url, timeout_s=timeout_s))
    try:
        for name in [model] if model else _ready(url):
            detector.detect(name, np.zeros((1, 32, 32, 3), np.uint8))
    except (UnavailableError, UnusableInputError):
        return False
    finally:
        detector.close()
    return True


def _ready(url: str) -> list[str]:
    """What the server says it serves; a net is asked through its wrapper."""
    from sluice.models import server

    return [each.name for each in server.index(url) if each.state == "READY" and not each.name.endswith("_net")]


def shared_memory_prefix(repository: Path) -> str:
    """Names the shared memory of the servers of one repository, and of no other."""
    return f"sluice-{hashlib.sha256(str(repository.absolute()).encode()).hexdigest()[:12]}-"


def forget_shared_memory(repository: Path) -> None:
    """Remove what a killed server left in shared memory; call it only while none runs on *repository*."""
    for leftover in SHARED_MEMORY.glob(f"{shared_memory_prefix(repository)}*"):
        leftover.unlink(missing_ok=True)


def container_command() -> str:
    """For machines that cannot run the wheel's server."""
    return (
        "sluice model repository models --container && docker run --rm --shm-size=512m -p 127.0.0.1:8001:8001 "
        f'-v "$PWD/models:/models:ro" {IMAGE} '
        "tritonserver --model-repository=/models --disable-auto-complete-config"
    )
