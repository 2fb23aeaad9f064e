"""A chunk in the bucket is looked at, listed, shown and cut, by what a user has: a bus, links and a token."""

import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sluice import cameras, names
from sluice.contracts.camera import Camera, Work
from sluice.names import ChunkName
from tests.endtoend.system import System
from tests.recorded import CHUNK_MS, FRAMES, record
from tests.services.line import eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]

CHUNKS = 4
MODEL = "squares"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Of a camera that nobody else has."""

    camera: str
    chunks: list[ChunkName]

    @property
    def query(self) -> str:
        """Its time."""
        return f"from={self.chunks[0].start_ms}&to={self.chunks[-1].end_ms}"


@pytest.fixture(scope="module")
def recording(system: System) -> Iterator[Recording]:
    """A few seconds, as a segmenter would have left them."""
    camera = f"endtoend-{uuid.uuid4().hex[:12]}"
    looked_at: dict[str, tuple[Work, ...]] = {"detect": (Work(model=MODEL),)}
    cameras.create(system.store, system.bus, Camera(name=camera, source="test://", paused=True, functions=looked_at))
    start_ms = time.time_ns() // 1_000_000 - CHUNKS * CHUNK_MS
    chunks = record(system.store, camera, start_ms=start_ms, chunks=CHUNKS)
    yield Recording(camera=camera, chunks=chunks)
    system.store.delete([names.camera_key(camera)])


def test_each_chunk_is_looked_at_once(system: System, recording: Recording) -> None:
    """A message and a result object for each, and the square is in every frame."""
    keys = sorted(each.key for each in recording.chunks)

    def detections() -> list[str]:
        return sorted(each["chunk"]["key"] for each in system.messages("detections", recording.camera))

    eventually("a detection of each chunk", lambda: detections() == keys, within_s=180)

    found = system.messages("detections", recording.camera)
    assert all(len(frame["objects"]) == 1 for each in found for frame in each["frames"])
    assert all(list(system.store.list(each.result_key("detect", MODEL))) for each in recording.chunks)


def test_the_live_playlist_lists_its_newest_chunk(system: System, recording: Recording) -> None:
    """Under the index that a player opens."""
    base = f"/hls/{recording.camera}"
    index = eventually("an index", lambda: system.get(f"{base}/index.m3u8"), within_s=120).decode()
    live = next(line for line in index.splitlines() if line and not line.startswith("#"))

    eventually("the newest chunk", lambda: recording.chunks[-1].stem in system.get(f"{base}/{live}").decode())


def test_a_player_reads_its_time_without_a_word(system: System, recording: Recording) -> None:
    """Every frame of every chunk."""
    command = ["ffprobe", "-v", "warning", "-count_packets", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_packets", "-of", "json"]
    url = system.url(f"/vod/{recording.camera}/index.m3u8?{recording.query}")

    played = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=120)

    assert (played.returncode, played.stderr) == (0, "")
    assert json.loads(played.stdout)["streams"][0]["nb_read_packets"] == str(CHUNKS * FRAMES)


def test_its_time_is_a_file_and_a_picture(system: System, recording: Recording) -> None:
    """As many fragments as chunks, and a JPEG."""
    clip = system.get(f"/clip/{recording.camera}.mp4?{recording.query}")
    picture = system.get(f"/snapshot/{recording.camera}.jpg?at={recording.chunks[1].start_ms}")

    assert clip.count(b"moof") == CHUNKS
    assert picture.startswith(b"\xff\xd8\xff")


def test_its_time_is_on_the_timeline(system: System, recording: Recording) -> None:
    """Without a hole."""
    shown = json.loads(system.get(f"/api/cameras/{recording.camera}/timeline?{recording.query}"))

    assert len(shown["recorded"]) == 1
    assert sum(sum(each["activity_ms"].values()) for each in shown["buckets"]) == CHUNKS * CHUNK_MS
