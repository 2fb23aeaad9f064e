"""`sluice snapshot`: a picture of a camera, out of its newest chunk or the one of a time."""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sluice.cli.times import MOMENT, moment
from sluice.errors import InvalidNameError, SluiceError
from sluice.names import CHUNKS, ChunkName, checked_camera, parse_chunk_key
from sluice.store import ObjectStore

EXAMPLES: Final = """\
examples:
  sluice snapshot gate
  sluice snapshot gate -o gate.jpg --at 2026-11-21T12:00:05Z
"""


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "snapshot",
        help="a JPEG of a camera, now or then",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default NAME.jpg; - is stdout)")
    parser.add_argument("--at", type=moment, metavar="TIME", help=MOMENT)
    parser.add_argument("--state", type=Path, default=Path(".sluice"), help="state folder (default .sluice)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Find the chunk, decode one frame, write it."""
    from sluice.local.administrator import administrator
    from sluice.picture import last_keyframe
    from sluice.video import MAX_BYTES

    at_ms = int(options.at.timestamp() * 1000) if options.at else None
    with administrator(options.state) as admin:
        chunk = fitting(admin.store, checked_camera(options.name), at_ms)
        body = admin.store.get(chunk.key, limit=MAX_BYTES).body
    until_s = None if at_ms is None else (at_ms - chunk.start_ms) / 1000
    picture = last_keyframe(body, where=chunk.key, until_s=until_s)
    output: Path = options.output or Path(f"{options.name}.jpg")
    if str(output) == "-":
        sys.stdout.buffer.write(picture.jpeg)
        return 0
    try:
        output.write_bytes(picture.jpeg)
    except OSError as error:
        raise SluiceError(f"{output}: {error.strerror}") from error
    taken = _shown(chunk.start_ms + round(picture.offset_s * 1000))
    print(f"{output}: {picture.width}x{picture.height}, {taken}")
    return 0


def fitting(store: ObjectStore, camera: str, at_ms: int | None) -> ChunkName:
    """The newest chunk of the camera, or the one that shows *at_ms*; few listings, however much was recorded."""
    found = next((chunk for chunk in _backwards(store, camera, at_ms)), None)
    if found is None:
        when = "" if at_ms is None else f" until {_shown(at_ms)}"
        raise SluiceError(f"nothing was recorded of {camera!r}{when}")
    if at_ms is not None and at_ms > found.end_ms:
        raise SluiceError(f"nothing was recorded of {camera!r} from {_shown(found.end_ms)} to {_shown(at_ms)}")
    return found


def _backwards(store: ObjectStore, camera: str, at_ms: int | None) -> Iterator[ChunkName]:
    """Chunks that begin at *at_ms* or before, the latest first."""
    for day in reversed(list(store.folders(f"{CHUNKS}{camera}/"))):
        for hour in reversed(list(store.folders(day))):
            chunks = [each for each in _chunks(store, hour) if at_ms is None or each.start_ms <= at_ms]
            yield from reversed(chunks)


def _chunks(store: ObjectStore, folder: str) -> Iterator[ChunkName]:
    for each in store.list(folder):
        try:
            yield parse_chunk_key(each.key)
        except InvalidNameError:
            continue  # nothing of ours


def _shown(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
