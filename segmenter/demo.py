"""Cameras for the demo: `python -m segmenter.demo --clips DIR` puts one opening chunk each into the bucket."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from segmenter.muxer import metadata, one_chunk
from segmenter.pattern import pattern_clip
from sluice.errors import SluiceError
from sluice.names import CHUNKS, ChunkName, parse_chunk_key
from sluice.settings import StoreSettings, load
from sluice.store import ObjectStore, S3Store

PATTERN: Final = "pattern"
CLIPS: Final = {"carphone": "carphone_pristine.mp4", "street": "bikes.mp4"}
CAMERAS: Final = (PATTERN, *CLIPS)


def put_demo_chunks(
    store: ObjectStore, clips: Mapping[str, Path | None], *, now_ms: int, show: Callable[[str], None]
) -> list[ChunkName]:
    """Put a chunk for each camera, of its clip or, without one, of the test pattern; a missing clip is skipped."""
    names = []
    for camera, clip in clips.items():
        if clip is not None and not clip.is_file():
            show(f"{camera}: no clip {clip}, skipped")
            continue
        name = _put(store, camera, clip, now_ms)
        show(f"{camera}: {name.key}")
        names.append(name)
    return names


def _put(store: ObjectStore, camera: str, clip: Path | None, now_ms: int) -> ChunkName:
    newest = _newest(store, camera)
    # Never before the end of what is there: readers take the order of names for the order of time.
    start_ms = max(now_ms, newest.end_ms) if newest else now_ms
    chunk = one_chunk(clip or pattern_clip(audio=True), anchor_ms=start_ms)
    name = ChunkName(
        start_ms=start_ms,
        duration_ms=chunk.duration_ms,
        session=newest.session + 1 if newest else 1,
        seq=newest.seq + 1 if newest else 1,
        activity="opening",
        init=chunk.init8,
        camera=camera,
    )
    # A player that follows the chunk must find its init segment.
    store.put(name.init_key, chunk.init, content_type="video/mp4")
    store.put(name.key, chunk.body, content_type="video/mp4", metadata=metadata(chunk, camera=camera))
    return name


def _newest(store: ObjectStore, camera: str) -> ChunkName | None:
    keys = [each.key for each in store.list(f"{CHUNKS}{camera}/")]
    return parse_chunk_key(keys[-1]) if keys else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and the environment; the status is 1 when the store refused."""
    parser = argparse.ArgumentParser(prog="python -m segmenter.demo", description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--cameras", nargs="+", choices=CAMERAS, default=CAMERAS, help="default: all")
    options = parser.parse_args(arguments)
    clips = {camera: options.clips / CLIPS[camera] if camera in CLIPS else None for camera in options.cameras}
    try:
        store = S3Store(load(StoreSettings))
        put_demo_chunks(store, clips, now_ms=time.time_ns() // 1_000_000, show=_print)
    except SluiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
