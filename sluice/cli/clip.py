"""`sluice clip`: a time of a camera's recordings as one file."""

import argparse
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

from sluice.cli.times import MOMENT, moment
from sluice.errors import SluiceError
from sluice.names import checked_camera
from sluice.recordings.clip import Clip
from sluice.store import ObjectStore

EXAMPLES: Final = """\
examples:
  sluice clip gate --from 2026-11-21T12:00:00Z --to 2026-11-21T12:05:00Z -o gate.mp4
  sluice clip gate --from 10m --to now
  sluice clip gate --from 2026-11-21T13:00+01:00 --to 2026-11-21T13:05+01:00 -o - | mpv -
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "clip",
        help="a time of a camera's recordings as an MP4 file",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="CAMERA")
    parser.add_argument("--from", dest="since", type=moment, required=True, metavar="TIME", help=MOMENT)
    parser.add_argument("--to", dest="until", type=moment, required=True, metavar="TIME", help="likewise")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default CAMERA.mp4; - is stdout)")
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Find the chunks, write the file; one that cannot be finished is not left behind."""
    from sluice.local.administrator import administrator

    output: Path = options.output or Path(f"{options.name}.mp4")
    span = (int(options.since.timestamp() * 1000), int(options.until.timestamp() * 1000))
    with administrator(options.state) as admin:
        clip = _clip(admin.store, checked_camera(options.name), *span)
        if str(output) == "-":
            _write(clip, admin.store, sys.stdout.buffer)
            return 0
        part = output.with_name(f"{output.name}.part")
        try:
            with part.open("wb") as file:
                _write(clip, admin.store, file)
            part.replace(output)
        except OSError as error:
            raise SluiceError(f"{output}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
    seconds = sum(each.name.duration_ms for each in clip.chunks) / 1000
    print(f"{output}: {len(clip.chunks)} chunks, {seconds:.1f} s, {clip.size_bytes} bytes")
    return 0


def _clip(store: ObjectStore, camera: str, from_ms: int, to_ms: int) -> Clip:
    from sluice.recordings.chunks import chunks_between
    from sluice.recordings.clip import clip_of

    chunks = list(chunks_between(store, camera, from_ms, to_ms))
    clip = clip_of(store, chunks) if chunks else None
    if clip is None or not clip.chunks:
        raise SluiceError(f"nothing was recorded of {camera!r} in that time")
    return clip


def _write(clip: Clip, store: ObjectStore, file: BinaryIO) -> None:
    file.writelines(clip.pieces(store))
