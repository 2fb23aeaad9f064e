"""The images that a run tests, each under a tag of its content: what changed is new to the cluster."""

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MODELS = ROOT / "build" / "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One to build."""

    name: str
    containerfile: Path
    context: Path
    content: tuple[Path, ...]
    """Files and folders that it is made of."""

    def tag(self) -> str:
        """Its full name, now; Knative makes a new Revision only when that changes."""
        found = hashlib.sha256()
        for path in (self.containerfile, *_files(self.content)):
            found.update(f"{path.relative_to(ROOT)}\n".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
        return f"{self.name}:test-{found.hexdigest()[:12]}"

    def build(self, tag: str) -> list[str]:
        """The options of docker, podman, buildah or a cluster's starter."""
        return ["-t", tag, "-f", str(self.containerfile), str(self.context)]


SLUICE = Image(
    name="sluice",
    containerfile=ROOT / "Containerfile",
    context=ROOT,
    content=tuple(
        ROOT / each
        for each in ("requirements-image.txt", "requirements-node.txt", "sluice", "segmenter", "functions", "triggers")
    ),
)
TRITON = Image(
    name="sluice-triton",
    containerfile=ROOT / "infra" / "triton" / "Containerfile.wheel",
    context=ROOT,
    content=tuple(
        ROOT / each
        for each in (
            "requirements-image-triton.txt",
            "sluice/local/tools.py",
            "sluice/local/triton_backends.py",
            "infra/triton/backends",
            "build/models",
        )
    ),
)


def _files(places: Iterable[Path]) -> list[Path]:
    found = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    # What is ignored by the builder, or made by whoever runs from here.
    unwanted = ("__pycache__", "built", ".pytest_cache", ".mypy_cache")
    return sorted(file for file in found if file.is_file() and not set(unwanted) & set(file.parts))


def write_models(python: str) -> None:
    """Those of this checkout, as a Triton in a container takes them."""
    shutil.rmtree(MODELS, ignore_errors=True)
    command = [python, "-m", "sluice.cli.main", "model", "repository", str(MODELS), "--container"]
    subprocess.run(command, check=True, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=300)
