"""`sluice model`: bring a detector, see what is served, try it on a picture."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sluice.errors import SettingsError, SluiceError, UnavailableError, UnusableInputError

EXAMPLES: Final = """\
examples:
  sluice model add helmets helmets.onnx --style yolox --labels helmets.txt
  sluice model add traffic rtdetr.onnx --style rtdetr --size 640x640
  sluice model add dogs ssd.onnx --style ssd --labels dogs.txt --size 320x320 --min-score 0.5
  sluice model list
  sluice model test helmets picture.jpg -o found.jpg
  sluice model remove helmets
  sluice model repository /srv/models --container
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "model",
        help="add or remove an ONNX detector, list what is served, test a model on a picture",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_add(_verb(verbs, "add", "an ONNX detector of your own, under NAME", _add))
    remove = _verb(verbs, "remove", "forget a model of your own", _remove)
    remove.add_argument("name", metavar="NAME")
    _verb(verbs, "list", "name, version, labels, long side, state", _list)
    test = _verb(verbs, "test", "what a served model finds in a picture", _test)
    test.add_argument("name", metavar="NAME")
    test.add_argument("picture", type=Path, metavar="PICTURE")
    test.add_argument("-o", "--output", type=Path, metavar="FILE", help="draw the boxes into this JPEG or PNG")
    test.add_argument("--min-score", type=float, default=0.0, metavar="S")
    write = _verb(verbs, "repository", "write all models into a new folder FOLDER, for a Triton elsewhere", _write)
    write.add_argument("folder", type=Path, metavar="FOLDER")
    write.add_argument("--container", action="store_true", help="for NVIDIA's image, where nets run in C++ or on a GPU")


def _verb(verbs: Any, name: str, about: str, run: Any) -> Any:
    verb = verbs.add_parser(name, help=about, description=about)
    verb.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    verb.set_defaults(run=run)
    return verb


def _add_add(verb: Any) -> None:
    verb.add_argument("name", metavar="NAME")
    verb.add_argument("source", type=Path, metavar="MODEL.onnx")
    verb.add_argument("--style", required=True, choices=("yolox", "rtdetr", "ssd"), help="see docs/models.md")
    verb.add_argument("--labels", type=Path, metavar="FILE", help="one label a line (default COCO's, of 80 classes)")
    verb.add_argument("--size", type=_size, metavar="WxH", help="what the net takes, where it takes any")
    verb.add_argument("--colours", choices=("rgb", "bgr"), help="their order (default the style's)")
    verb.add_argument("--range", type=float, metavar="R", help="colours go from 0 to this, 1 or 255 (the style's)")
    verb.add_argument("--mean", type=_three, default=(), metavar="R,G,B", help="taken off, in that range")
    verb.add_argument("--std", type=_three, default=(), metavar="R,G,B", help="divided by, in that range")
    verb.add_argument("--corners", choices=("xyxy", "yxyx"), help="ssd: order of a box's corners")
    verb.add_argument("--units", choices=("shares", "pixels"), help="ssd: of a box's corners")
    verb.add_argument("--first-class", type=int, choices=(0, 1), help="ssd: number of the first label")
    verb.add_argument("--min-score", type=float, default=0.4, metavar="S", help="less is not told (default 0.4)")
    verb.add_argument("--max-overlap", type=float, metavar="IOU", help="of two of one label (default the style's)")
    verb.add_argument("--replace", action="store_true", help="take the place of a model of this name")
    verb.add_argument("--repository", type=Path, metavar="DIR", help="write it there, and ask no server")


def _add(options: argparse.Namespace) -> int:
    from sluice.local.state import read_runtime
    from sluice.models import repository, server
    from sluice.models.added import add_model, read_labels
    from sluice.models.styles import Options

    wanted = Options(
        size=options.size,
        bgr=None if options.colours is None else options.colours == "bgr",
        divide=None if options.range is None else 255 / options.range,
        mean=options.mean,
        std=options.std,
        **{name: getattr(options, name) for name in ("corners", "units", "first_class", "min_score", "max_overlap")},
    )
    place = add_model(
        options.repository or options.state / "models",
        name=options.name,
        source=options.source,
        style=options.style,
        labels=read_labels(options.labels) if options.labels else None,
        options=wanted,
        replace=options.replace,
    )
    print(f"added {options.name} in {place}")
    if options.repository:
        repository.wrap(place, apart=True)
        print("a server that reads this folder serves it after a restart, or when it is told to load it")
        return 0
    runtime = read_runtime(options.state)
    served = options.state / "data" / "models" / options.name
    if runtime is None or not served.parent.is_dir():
        print("it is served after the next `sluice up`")
        return 0
    shutil.rmtree(served, ignore_errors=True)
    shutil.copytree(place, served)
    repository.wrap(served)
    server.load(runtime["endpoints"]["triton"], options.name)
    print("the running Triton serves it now")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from sluice.local.state import read_runtime
    from sluice.models import repository, server
    from sluice.models.added import checked_name

    place = options.state / "models" / checked_name(options.name)
    if not (place / "config.pbtxt").is_file():
        raise SluiceError(f"there is no model {options.name!r} in {place.parent}")
    shutil.rmtree(place)
    print(f"removed {options.name}")
    runtime = read_runtime(options.state)
    if (repository.MODELS / options.name).exists():
        print("the one of ours that it stood in for is served after the next `sluice up`")
    elif runtime is not None:
        server.unload(runtime["endpoints"]["triton"], options.name)
        shutil.rmtree(options.state / "data" / "models" / options.name, ignore_errors=True)
        print("the running Triton has let it go")
    return 0


def _list(options: argparse.Namespace) -> int:
    from sluice.inference import TritonDetector
    from sluice.models import server

    settings = _server(options.state)
    detector = TritonDetector(settings)
    rows = [("NAME", "VERSION", "LONG SIDE", "STATE", "LABELS")]
    try:
        for each in server.index(settings.url):
            side = labels = ""
            try:
                info = detector.describe(each.name)
                side, labels = str(info.long_side), _some(info.labels)
            except UnavailableError:
                labels = each.reason
            except UnusableInputError as error:
                labels = "a net behind another model" if each.name.endswith("_net") else str(error)
            rows.append((each.name, each.version, side, each.state.lower() or "not loaded", labels))
    finally:
        detector.close()
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4])).rstrip())
    return 0


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")


def _test(options: argparse.Namespace) -> int:
    from sluice.frames import scaled
    from sluice.inference import TritonDetector
    from sluice.models import image

    picture = image.read(options.picture)
    height, width, _ = picture.shape
    detector = TritonDetector(_server(options.state))
    try:
        info = detector.describe(options.name)
        small = image.scaled(picture, *scaled(width, height, info.long_side))
        (found,) = detector.detect(options.name, small[None])
    finally:
        detector.close()
    boxes = [box for box in found if box.score >= options.min_score]
    for box in boxes:
        corners = [round(box.x0 * width), round(box.y0 * height), round(box.x1 * width), round(box.y1 * height)]
        print(f"{box.label:16} {box.score:.2f}  x {corners[0]}-{corners[2]}, y {corners[1]}-{corners[3]}")
    print(f"{len(boxes)} found in {options.picture}, {width}x{height}")
    if options.output:
        image.write(image.drawn(picture, boxes), options.output)
        print(f"{options.output} shows them")
    return 0


def _write(options: argparse.Namespace) -> int:
    from sluice.models.repository import assemble

    if options.folder.exists():
        raise SluiceError(f"{options.folder} is there already: name a new folder")
    absent = assemble(options.folder, added=options.state / "models", apart=options.container)
    print(f"{options.folder}: {', '.join(sorted(path.name for path in options.folder.iterdir()))}")
    for name in absent:
        print(f"without {name}, which has no weights here: run `make tools`", file=sys.stderr)
    return 0


def _server(state: Path) -> Any:
    """Of the running local runtime, else the one that the environment names."""
    from sluice.local.state import read_runtime
    from sluice.settings import DetectorSettings, load_all

    runtime = read_runtime(state)
    if runtime is not None:
        return DetectorSettings(url=runtime["endpoints"]["triton"])
    try:
        (settings,) = load_all(DetectorSettings)
    except SettingsError as error:
        raise SluiceError(f"no runtime runs in {state} (sluice up), and {'; '.join(error.problems)}") from error
    return settings


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"expected WxH as in 640x640, found {text!r}")
    return int(width), int(height)


def _three(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(each) for each in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"expected three numbers as in 0.5,0.5,0.5, found {text!r}")
    return values
