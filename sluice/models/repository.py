"""The model repository that Triton reads, put together from model folders, weights and the wrapper."""

import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sluice.local.tools import ROOT, find_data
from sluice.models import configuration

MODELS: Final = ROOT / "infra" / "triton" / "model_repository"
CATALOGUE: Final = ROOT / "infra" / "triton" / "models.toml"
WRAPPER: Final = ROOT / "infra" / "triton" / "detector"


def assemble(
    repository: Path,
    *,
    models: Path = MODELS,
    catalogue: Path = CATALOGUE,
    added: Path | None = None,
    apart: bool = False,
) -> tuple[str, ...]:
    """Make *repository* anew of all models whose weights are here; returns the names of those left out.

    *added* holds models of the user, which win over ours of the same name. *apart* makes of each net a model of its
    own, for a server whose Python has no onnxruntime: NVIDIA's image.
    """
    wanted = [each for each in tomllib.loads(catalogue.read_text("utf-8")).get("data", []) if "into" in each]
    shutil.rmtree(repository, ignore_errors=True)
    absent: list[str] = []
    for name, model in _folders(models, added).items():
        weights = {
            each["into"].partition("/")[2]: find_data(each["name"])
            for each in wanted
            if model.parent == models and each["into"].startswith(f"{name}/")
        }
        if None in weights.values():
            absent.append(name)
            continue
        shutil.copytree(model, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
        for place, file in weights.items():
            if file is not None:
                _bring(file, repository / name / place, _style(repository / name))
        wrap(repository / name, apart=apart)
    return tuple(absent)


def wrap(folder: Path, *, apart: bool = False) -> None:
    """Give a model folder the wrapper, if it names a style; its net stays inside, or moves into one of its own."""
    if _style(folder) is None:
        return
    for source in WRAPPER.glob("*.py"):
        shutil.copyfile(source, folder / "1" / source.name)
    if apart:
        _part(folder)


def _part(folder: Path) -> None:
    """Make the net a model beside its wrapper, and warm that up: a wrapper cannot ask it before the server is ready."""
    from sluice.models import graph as graphs

    net = folder.with_name(f"{folder.name}_net")
    model = graphs.read(folder / "1" / "model.onnx")
    own, long_side = folder / "config.pbtxt", int(_parameters(folder)["long_side"])
    own.write_text(configuration.without_warmup(own.read_text("utf-8")), "utf-8")
    for place in (net / "1", net / "configs", folder / "configs"):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "configs" / "gpu.pbtxt").write_text(configuration.on_gpu(own.read_text("utf-8")), "utf-8")
    for place, gpu in ((net / "config.pbtxt", False), (net / "configs" / "gpu.pbtxt", True)):
        place.write_text(configuration.net(net.name, model, long_side=long_side, gpu=gpu), "utf-8")
    shutil.move(folder / "1" / "model.onnx", net / "1" / "model.onnx")


def _folders(*places: Path | None) -> dict[str, Path]:
    found: Iterable[Path] = (path for place in places if place and place.is_dir() for path in sorted(place.iterdir()))
    return {path.name: path for path in found if (path / "config.pbtxt").is_file()}


def _parameters(folder: Path) -> dict[str, str]:
    return configuration.parameters((folder / "config.pbtxt").read_text("utf-8"))


def _style(folder: Path) -> str | None:
    return _parameters(folder).get("style")


def _bring(source: Path, target: Path, style: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if style is None:
        shutil.copyfile(source, target)
        return
    from sluice.models import builtin

    builtin.prepare(style, source, target)
