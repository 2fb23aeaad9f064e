"""A user's ONNX detector becomes a model folder."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sluice.errors import SluiceError, UnusableInputError
from sluice.models import configuration, repository
from sluice.models import graph as graphs
from sluice.models.styles import SIZES, STYLES, Options, Style, fail, told

if TYPE_CHECKING:
    from onnx import ModelProto

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_COCO: Final = 80
"""So many classes, and no labels given: those of COCO, in its order."""


def add_model(
    folder: Path,
    *,
    name: str,
    source: Path,
    style: str,
    labels: Sequence[str] | None = None,
    options: Options | None = None,
    replace: bool = False,
) -> Path:
    """Check *source* against *style*, write the model *name* into *folder*; raises SluiceError."""
    place = folder / checked_name(name)
    taken = place.exists() or (repository.MODELS / name).exists()
    if taken and not replace:
        raise SluiceError(f"there is a model {name!r} already: --replace takes its place")
    options = options or Options()
    model = graphs.read(source)
    size = _size(model, STYLES[style], options)
    known = len(labels) if labels is not None else None
    reads = {"style": style, **STYLES[style].outputs(model, size, known, options)}
    names = list(labels) if labels is not None else _coco(model, style, reads)
    _keep_outputs(model, {value for key, value in reads.items() if key.startswith("role_")})
    given = reads | _prepared(model, STYLES[style], options, size)
    config = configuration.wrapper(
        name, about=f"{source.name}, style {style}.", given=given, labels=names, long_side=max(size)
    )
    stage = folder / f".{name}"
    shutil.rmtree(stage, ignore_errors=True)
    graphs.write(model, stage / "1" / "model.onnx")
    (stage / "config.pbtxt").write_text(config, "utf-8")
    shutil.rmtree(place, ignore_errors=True)
    stage.rename(place)
    return place


def checked_name(name: str) -> str:
    """The same *name*; raises UnusableInputError unless it fits object keys, subjects and folders."""
    if not _NAME.fullmatch(name):
        raise UnusableInputError("a name of a-z, 0-9 and dashes, at most 63", repr(name), "model")
    return name


def _prepared(model: "ModelProto", style: Style, options: Options, size: tuple[int, int]) -> dict[str, str]:
    """Make the graph take FRAMES, and tell the wrapper what it must do itself."""
    batched = isinstance(graphs.shape(_picture(model, style))[0], str)
    _fix_sizes(model, size)
    graphs.take_frames(
        model,
        bgr=style.bgr if options.bgr is None else options.bgr,
        divide=style.divide if options.divide is None else options.divide,
        mean=options.mean,
        std=options.std,
    )
    overlap = style.max_overlap if options.max_overlap is None else options.max_overlap
    return {
        "size": "{}x{}".format(*size),
        "fill": str(style.fill),
        "net_outputs": " ".join(each.name for each in model.graph.output),
        "net_batch": "32" if batched else "1",
        "min_score": f"{options.min_score:g}",
        "max_overlap": f"{overlap:g}",
    }


def read_labels(path: Path) -> list[str]:
    """One a line; empty lines are nothing."""
    try:
        found = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError("a text file with one label a line", str(error), str(path)) from error
    if not found:
        raise UnusableInputError("one label a line", "none", str(path))
    return found


def _picture(model: "ModelProto", style: Style) -> Any:
    """The input that takes pictures."""
    fed = graphs.inputs(model.graph)
    pictures = [each for each in fed if each.name not in style.others]
    if len(pictures) != 1 or len(graphs.shape(pictures[0])) != 4:
        raise fail("one input of four dimensions, for pictures", told(fed))
    if graphs.shape(pictures[0])[0] not in {1, ""} and isinstance(graphs.shape(pictures[0])[0], int):
        raise fail("one picture at a time, or any number", told(pictures))
    return pictures[0]


def _size(model: "ModelProto", style: Style, options: Options) -> tuple[int, int]:
    """Width and height: the graph's, or as the user says where the graph takes any."""
    picture = _picture(model, style)
    dims = graphs.shape(picture)
    if 3 not in (dims[1], dims[3]):
        raise fail("three colours, [frames, 3, height, width] or [frames, height, width, 3]", told([picture]))
    rows, columns = (dims[2], dims[3]) if dims[1] == 3 else (dims[1], dims[2])
    if isinstance(rows, int) and isinstance(columns, int):
        if options.size not in {None, (columns, rows)}:
            raise fail(f"--size {columns}x{rows}, as the graph takes no other", "{}x{}".format(*options.size or ()))
        return columns, rows
    if options.size is None:
        raise fail("--size WxH, as the graph takes any", told([picture]))
    return options.size


def _coco(model: "ModelProto", style: str, given: dict[str, str]) -> list[str]:
    shapes = {each.name: graphs.shape(each) for each in model.graph.output}
    columns: Any = None
    if style == "yolox":
        (columns,) = (dims[2] - 5 if isinstance(dims[2], int) else None for dims in shapes.values())
    elif "role_logits" in given:
        columns = shapes[given["role_logits"]][2]
    if columns != _COCO:
        raise UnusableInputError(
            "--labels FILE with one label a line", f"{columns or 'any number of'} classes", "graph"
        )
    known = (repository.MODELS / "objects" / "config.pbtxt").read_text("utf-8")
    return configuration.parameters(known)["labels"].splitlines()


def _keep_outputs(model: "ModelProto", wanted: set[str]) -> None:
    """What nobody reads is not computed."""
    if wanted:
        kept = [each for each in model.graph.output if each.name in wanted]
        del model.graph.output[:]
        model.graph.output.extend(kept)


def _fix_sizes(model: "ModelProto", size: tuple[int, int]) -> None:
    """What RT-DETR's export asks for besides the picture is known here: the size of the canvas."""
    from onnx import numpy_helper

    graph = model.graph
    if any(each.name == SIZES for each in graphs.inputs(graph)):
        graph.initializer.append(numpy_helper.from_array(np.asarray([size], np.int64), SIZES))
        fed = [each for each in graph.input if each.name != SIZES]
        del graph.input[:]
        graph.input.extend(fed)
