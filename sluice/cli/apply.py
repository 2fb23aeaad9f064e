"""`sluice apply`: the cameras become those of a file; what differs is shown first."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sluice.bus import Bus
from sluice.contracts.camera import Camera
from sluice.store import ObjectStore

if TYPE_CHECKING:
    from sluice.cameras import Loaded
    from sluice.cli.camera_file import Described

EXAMPLES: Final = """\
cameras.yaml:
  - name: gate
    source: rtsp://admin:secret@10.0.0.7/stream1
    target_s: 4
    functions:
      detect:
        - {model: objects, fps: 5, labels: [person, car], min_score: 0.5}
  - name: phone
    push: {key: a-key-of-yours}

examples:
  sluice apply cameras.yaml --dry-run
  sluice apply cameras.yaml --prune
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One camera that is not as the file says."""

    sign: str
    """+ to be added, ~ to be changed, - to be removed, ? is not in the file and stays."""
    name: str
    wanted: Camera | None = None
    text: str = ""
    unreadable: bool = False
    """What is stored under its name is no camera."""

    def __str__(self) -> str:
        return f"{self.sign} {self.name}" + (f": {self.text}" if self.text else "")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "apply",
        help="make the cameras those of a file, showing the difference",
        description="Adds and changes cameras until they are as the file says. A camera that the file does not name "
        "stays, unless --prune. `paused` stays as it is where the file does not say it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a YAML list of cameras")
    parser.add_argument("--prune", action="store_true", help="remove cameras that are not in it; recordings stay")
    parser.add_argument("--dry-run", action="store_true", help="show what differs, change nothing")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read the file, compare, show, change; the file's mistakes are told before anything is connected."""
    from sluice import cameras
    from sluice.cli.camera_file import read
    from sluice.local.administrator import administrator

    wanted = read(options.file)
    with administrator(options.state) as admin:
        steps = list(differences(wanted, cameras.load_all(admin.store), prune=options.prune))
        bus: Bus | None = admin.bus
        for step in steps:
            print(step)
            if not options.dry_run and (warning := _take(step, wanted, admin.store, bus)):
                print(f"warning: {warning}", file=sys.stderr)
                # Once is enough to wait for it.
                bus = None
    print(_summary(steps, dry_run=options.dry_run))
    return 0


def differences(wanted: "dict[str, Described]", stored: "Loaded", *, prune: bool) -> Iterator[Step]:
    """What has to be done, camera by camera, in order of name."""
    # A key instead of a name is nobody's.
    unreadable = {name: problem for name, problem in stored.problems.items() if "/" not in name}
    for name in sorted({*wanted, *stored.cameras, *unreadable}):
        now, described = stored.cameras.get(name), wanted.get(name)
        if described is None:
            text = "" if prune else "not in the file, stays (--prune removes it)"
            yield Step(sign="-" if prune else "?", name=name, text=text)
        elif name in unreadable:
            text = f"written anew, as it cannot be read: {unreadable[name]}"
            yield Step(sign="~", name=name, wanted=described.camera, text=text, unreadable=True)
        elif now is None:
            yield Step(sign="+", name=name, wanted=described.camera)
        elif described.camera != (now := _kept(now, described)):
            yield Step(sign="~", name=name, wanted=described.camera, text=", ".join(changes(now, described.camera)))


def changes(old: Camera, new: Camera) -> Iterator[str]:
    """Field by field, as `target_s 3 -> 4`; without passwords and keys."""
    for name in (each.name for each in fields(Camera)):
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        shown_before, shown_after = _shown(name, before), _shown(name, after)
        yield f"{name} {shown_before} -> {shown_after}" if shown_before != shown_after else f"{name} (what is hidden)"


def _shown(name: str, value: Any) -> str:
    from sluice.address import redacted
    from sluice.cli.camera_reports import shown_works

    match value:
        case dict():
            said = [f"{key} {each}" for key, works in sorted(value.items()) for each in shown_works(works)]
            return f"[{'; '.join(said)}]"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return "none" if not value else "a key" if name == "push_key" else redacted(value)


def _kept(now: Camera, described: "Described") -> Camera:
    """What is stored, as if it were paused as the file says: pausing is for a moment, and the file is for ever."""
    return now if "paused" in described.said else replace(now, paused=described.camera.paused)


def _take(step: Step, wanted: "dict[str, Described]", store: ObjectStore, bus: Bus | None) -> str | None:
    from sluice import cameras

    if step.sign == "-":
        return cameras.remove(store, bus, step.name)
    if step.wanted is None:
        return None
    camera, said = step.wanted, wanted[step.name].said
    if step.sign == "+":
        return cameras.create(store, bus, camera)
    if step.unreadable:
        return cameras.save(store, bus, camera)

    def changed(now: Camera) -> Camera:
        return camera if "paused" in said else replace(camera, paused=now.paused)

    return cameras.change(store, bus, step.name, changed)[1]


def _summary(steps: list[Step], *, dry_run: bool) -> str:
    words = {"+": "added", "~": "changed", "-": "removed"}
    counts = [(sum(step.sign == sign for step in steps), word) for sign, word in words.items()]
    said = ", ".join(f"{count} {'to be ' if dry_run else ''}{word}" for count, word in counts if count)
    return said or "nothing changed: the cameras are as the file says"
