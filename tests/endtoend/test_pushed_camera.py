"""A camera that pushes real footage: what a model sees in it arrives, and it can be watched."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice.local.tools import INSTALL, find_data
from tests.endtoend.system import System
from tests.integration.test_models_golden import iou
from tests.playlists import read
from tests.services.line import eventually
from tests.services.server import needed

pytestmark = [pytest.mark.line, pytest.mark.triton]

CLIP = "carphone_pristine.mp4"
FPS = 30000 / 1001
ROUNDS = 3
"""The clip is one GOP, so each round is a chunk."""
REFERENCES: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "models" / "faces.json").read_text("utf-8")
)[CLIP]
NEAR = 3
"""Frames: half of the distance between two that are looked at."""
ALIKE = 0.7
"""Intersection over union: he talks and moves, and the instants differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """What was pushed under a name that nobody else has."""

    camera: str
    keys: list[str]


@contextmanager
def pushed(system: System, camera: str) -> Iterator[None]:
    """The clip, a few times over, as fast as a camera would; told and made by commands alone."""
    key = uuid.uuid4().hex
    system.run("camera", "add", camera, "--push", "--key", key, "--detect", "faces")
    clip = needed(find_data(CLIP), f"{CLIP} is not on this machine: {INSTALL}")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", str(ROUNDS - 1), "-i", str(clip), "-an"]
    command += ["-c", "copy", "-f", "mpegts", "-method", "PUT", f"{system.ingest(camera)}?key={key}"]
    try:
        # A camera comes again when nobody lets it in; the segmenter learns of it within a moment.
        eventually("it is let in", lambda: subprocess.run(command, check=False, timeout=120).returncode == 0)
        yield
    finally:
        system.run("camera", "remove", camera, "--keep")


@pytest.fixture(scope="module")
def footage(system: System) -> Iterator[Footage]:
    camera = f"footage-{uuid.uuid4().hex[:12]}"
    with pushed(system, camera):
        keys = eventually("its chunks", lambda: _stored(system, camera))
        yield Footage(camera=camera, keys=keys)


def _stored(system: System, camera: str) -> list[str]:
    found = [each.key for each in system.store.list(f"chunks/{camera}/")]
    return found if len(found) == ROUNDS else []


def test_the_face_is_found_where_it_is(system: System, footage: Footage) -> None:
    """In every round of the clip, at instants of which another implementation said where it is."""

    def detections() -> list[dict[str, Any]]:
        found = system.messages("detections", footage.camera)
        return found if len(found) >= ROUNDS else []

    found = eventually("a detection of each chunk", detections, within_s=180)

    assert sorted(each["chunk"]["key"] for each in found) == footage.keys
    for each in found:
        # How many instants it is depends on how long the chunk waited.
        matched = [_matches(frame) for frame in each["frames"]]
        assert {True} == set(matched) - {None}, each["frames"]


def _matches(frame: dict[str, Any]) -> bool | None:
    """Whether the one face is where the nearest reference has it; None without one near by."""
    number = min(REFERENCES, key=lambda number: abs(_number(frame) - int(number)))
    if abs(_number(frame) - int(number)) > NEAR:
        return None
    ((expected,), (face,)) = REFERENCES[number], frame["objects"]
    box = [face[corner] for corner in ("x0", "y0", "x1", "y1")]
    return face["label"] == "face" and iou(box, expected["box"]) > ALIKE


def _number(frame: dict[str, Any]) -> float:
    return float(frame["offset_ms"]) / 1000 * FPS


def test_the_first_chunk_is_looked_into(system: System, footage: Footage) -> None:
    """The camera doctor says what it is, once."""
    (health,) = eventually("a word of the doctor", lambda: system.messages("health", footage.camera), within_s=120)

    assert (health["video"]["codec"], health["chunk"]["key"]) == ("h264", footage.keys[0])


def test_it_can_be_watched(system: System, footage: Footage) -> None:
    """The link that the command gives leads to a playlist of all that was recorded, and a player plays it."""

    def complete() -> str:
        index = system.get(f"/hls/{footage.camera}/index.m3u8").decode()
        variants = [line for line in index.splitlines() if line and not line.startswith("#")]
        live = system.get(f"/hls/{footage.camera}/{variants[0]}").decode() if variants else ""
        return live if live and len(read(live).playable) == ROUNDS else ""

    eventually("a complete playlist", complete, within_s=120)
    link = system.run("play", footage.camera, "--hls").strip()
    frames = ["ffprobe", "-v", "error", "-count_packets", "-select_streams", "v:0", "-live_start_index", "0"]
    frames += ["-read_intervals", "%+#100", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "json", link]
    played = json.loads(subprocess.run(frames, capture_output=True, check=True, timeout=60).stdout)

    assert played["streams"][0] == {"codec_name": "h264", "nb_read_packets": "100"}
