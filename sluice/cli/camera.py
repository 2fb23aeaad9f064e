"""`sluice camera`: add, look at, change and remove cameras."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.contracts.camera import Camera
from sluice.errors import ConflictError, ObjectNotFoundError, SluiceError, UnavailableError

if TYPE_CHECKING:
    from sluice.local.administrator import Administrator

EXAMPLES: Final = """\
examples:
  sluice camera add gate rtsp://admin:secret@10.0.0.7/stream1
  sluice camera add lobby 'test://?size=1280x720&fps=25' --target 4 --retention 12h --no-audio
  sluice camera add dock rtsp://10.0.0.8/1 --detect objects:fps=5,labels=person+car,min-score=0.5 --detect faces
  sluice camera add phone --push
  sluice camera list
  sluice camera pause gate
  sluice camera remove gate --purge
"""
_DAYS: Final = {"h": 1 / 24, "d": 1.0, "w": 7.0}
_LEARNS_S: Final = 65.0
"""The segmenter looks into the bucket once a minute when NATS has not told it."""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "camera",
        help="add, list, show, pause, resume or remove cameras",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_add(verbs)
    _verb(verbs, "list", "state, codec, size, fps, bitrate, age of the last chunk, drops", named=False, json=True)
    _verb(verbs, "show", "every setting of one camera, and how it is", json=True)
    _verb(verbs, "pause", "stop recording; everything else stays")
    _verb(verbs, "resume", "record again")
    remove = _verb(verbs, "remove", "stop recording and forget the camera")
    what = remove.add_mutually_exclusive_group()
    what.add_argument("--keep", action="store_true", help="keep what was recorded (default without a terminal)")
    what.add_argument("--purge", action="store_true", help="delete everything that was recorded of it, now")


def _verb(verbs: Any, name: str, about: str, *, named: bool = True, json: bool = False) -> Any:
    verb = verbs.add_parser(
        name, help=about, epilog=EXAMPLES if name == "add" else None, formatter_class=argparse.RawTextHelpFormatter
    )
    verb.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    if named:
        verb.add_argument("name", metavar="NAME")
    if json:
        verb.add_argument("--json", action="store_true", help="for programs")
    verb.set_defaults(run=run, verb=name)
    return verb


def _add_add(verbs: Any) -> None:
    verb = _verb(verbs, "add", "a camera that is pulled from URL, or one that pushes to us")
    verb.add_argument("url", nargs="?", metavar="URL", help="where it is pulled from; - reads it from stdin")
    verb.add_argument("--push", action="store_true", help="it pushes: makes a key and prints what to do with it")
    verb.add_argument("--key", metavar="K", help="with --push: this key instead of a new one")
    verb.add_argument("--target", type=float, metavar="S", help="seconds of a chunk (default 3)")
    verb.add_argument("--no-record", action="store_true", help="keep its chunks as long as functions need them only")
    verb.add_argument("--no-audio", action="store_true", help="leave the sound out")
    verb.add_argument("--keyframes-only", action="store_true", help="functions look at keyframes alone")
    verb.add_argument("--retention", type=_days, metavar="7d", help="how long it is kept: hours, days, weeks (7d)")
    detect = verb.add_mutually_exclusive_group()
    detect.add_argument("--no-detect", dest="detect", action="store_const", const=[], help="look for nothing")
    detect.add_argument(
        "--detect",
        action="append",
        type=_work,
        metavar="MODEL[:fps=5,labels=person+car,min-score=0.5]",
        help="look for things with this model; may be given again",
    )


def run(options: argparse.Namespace) -> int:
    """Connect as the administrator and do it."""
    from sluice.local.administrator import administrator

    with administrator(options.state) as admin:
        return {"add": _add, "list": _list, "show": _show, "remove": _remove}.get(options.verb, _pause)(options, admin)


def _add(options: argparse.Namespace, admin: "Administrator") -> int:
    from sluice import cameras

    if bool(options.url) == options.push or (options.key is not None and not options.push):
        raise SluiceError("give either a URL or --push (and --key with --push only)")
    key = (options.key or cameras.new_key()) if options.push else None
    camera = cameras.parse(_fields(options, key))
    try:
        _warn(cameras.create(admin.store, admin.bus, camera))
    except ConflictError as error:
        raise SluiceError(f"there is a camera {camera.name!r} already: remove it, or change it by apply") from error
    print(f"added {camera.name}")
    if key is not None:
        print("\n".join(_push_lines(camera.name, key, admin)))
    return 0


def _fields(options: argparse.Namespace, key: str | None) -> dict[str, Any]:
    wanted = {
        # A shell remembers what is typed, and other users see it.
        "source": sys.stdin.readline().strip() if options.url == "-" else options.url,
        "push": None if key is None else {"key": key},
        "target_s": options.target,
        "retention_days": options.retention,
        "functions": None if options.detect is None else {"detect": options.detect},
    }
    flags = {"record": not options.no_record, "audio": not options.no_audio, "keyframes_only": options.keyframes_only}
    return {"name": options.name, **flags, **{name: value for name, value in wanted.items() if value is not None}}


def _push_lines(name: str, key: str, admin: "Administrator") -> Iterable[str]:
    http = f"{admin.segmenter_url.rstrip('/') or 'http://SEGMENTER:8080'}/ingest/{name}?key={key}"
    rtmp = f"{admin.rtmp_url.rstrip('/') or 'rtmp://SEGMENTER:1935'}/{name}/{key}"
    yield f"its key, shown this once: {key}"
    yield "push a file, or put your camera's own options before -i:"
    yield f"  ffmpeg -re -i VIDEO -c copy -f mpegts -method PUT {shlex.quote(http)}"
    yield f"  ffmpeg -re -i VIDEO -c copy -f flv {shlex.quote(rtmp)}"


def _list(options: argparse.Namespace, admin: "Administrator") -> int:
    from sluice import cameras
    from sluice.cli.camera_reports import for_programs, reports, table

    loaded = cameras.load_all(admin.store)
    said: dict[str, Any] = {}
    try:
        said = reports(admin.segmenter_url)
    except UnavailableError as error:
        _warn(f"{error}; so no state is known")
    if options.json:
        shown = [for_programs(camera, said.get(name, {})) for name, camera in sorted(loaded.cameras.items())]
        print(json.dumps(shown, indent=1))
    elif loaded.cameras or said:
        notes = {name: "not configured" for name in said if name not in {**loaded.cameras, **loaded.problems}}
        print("\n".join(table(sorted({*loaded.cameras, *said}), said, notes)))
    else:
        print("there are no cameras: sluice camera add NAME URL")
    for name, problem in loaded.problems.items():
        _warn(f"{name} cannot be read: {problem}")
    return 0


def _show(options: argparse.Namespace, admin: "Administrator") -> int:
    from sluice.cli.camera_reports import details, for_programs, reports

    camera = _configured(options.name, admin)
    report: Any = {}
    try:
        report = reports(admin.segmenter_url).get(options.name, {})
    except UnavailableError as error:
        _warn(f"{error}; so its state is not known")
    print(json.dumps(for_programs(camera, report), indent=1) if options.json else "\n".join(details(camera, report)))
    return 0


def _pause(options: argparse.Namespace, admin: "Administrator") -> int:
    from sluice import cameras

    paused = options.verb == "pause"
    _configured(options.name, admin)
    _, warning = cameras.change(admin.store, admin.bus, options.name, lambda each: replace(each, paused=paused))
    _warn(warning)
    print(f"{options.name} is {'paused' if paused else 'recorded'}")
    return 0


def _remove(options: argparse.Namespace, admin: "Administrator") -> int:
    from sluice import cameras
    from sluice.names import camera_key, checked_camera

    name = checked_camera(options.name)
    there = any(each.key == camera_key(name) for each in admin.store.list(camera_key(name)))
    if not there and not options.purge:
        _configured(name, admin)
    purge = options.purge or (not options.keep and sys.stdin.isatty() and _confirmed(name))
    warning = cameras.remove(admin.store, admin.bus, name)
    _warn(warning)
    print(f"removed {name}" if there else f"there is no camera {name}, but what was recorded goes")
    if purge:
        # Whoever was not told goes on recording until it looks by itself.
        quiet_s = _LEARNS_S if warning else cameras.QUIET_S
        count = cameras.purge(admin.store, name, print, quiet_s=quiet_s)
        print(f"{count} objects of {name} deleted, nothing is left")
    return 0


def _confirmed(name: str) -> bool:
    return input(f"Delete everything that was recorded of {name}, too? [y/N] ").strip().lower() in ("y", "yes")


def _configured(name: str, admin: "Administrator") -> Camera:
    from sluice import cameras

    try:
        return cameras.load(admin.store, name)
    except ObjectNotFoundError as error:
        known = ", ".join(sorted(cameras.load_all(admin.store).cameras)) or "none"
        raise SluiceError(f"there is no camera {name!r}; there are: {known}") from error


def _warn(text: str | None) -> None:
    if text:
        print(f"warning: {text}", file=sys.stderr)


def _days(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in _DAYS else (text, "d")
    try:
        return float(number) * _DAYS[unit]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a number of h, d or w as in 7d, found {text!r}") from error


def _work(text: str) -> dict[str, Any]:
    model, _, rest = text.partition(":")
    work: dict[str, Any] = {"model": model} if model else {}
    for each in rest.split(",") if rest else ():
        name, equals, value = each.partition("=")
        try:
            work[name.replace("-", "_")] = value.split("+") if name == "labels" else float(value)
        except ValueError as error:
            found = each if equals else f"{each} without a value"
            raise argparse.ArgumentTypeError(
                f"expected fps, labels or min-score, as in fps=5, found {found}"
            ) from error
    return work
