"""The camera doctor as operators run it: `sluice doctor URL`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segmenter.pattern import pattern_clip
from sluice.local.program import free_port
from tests.services.ffmpeg import served

DOCTOR_S = 60


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sluice.cli.main", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DOCTOR_S, check=False)


def findings(*arguments: str) -> dict[str, Any]:
    done = doctor(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(pattern_clip(size=(320, 180), seconds=4, gop=25, bf=2, audio=True))
    return path


def test_a_camera_is_described_with_advice(clip: Path, tmp_path: Path) -> None:
    """Codec, size, rate, GOP, B-frames, sound, bit rate, time to open and clock: of what really comes."""
    with served(clip, "mpegts", folder=tmp_path) as url:
        found = findings(url)

    video = found["video"]
    assert (video["codec"], video["width"], video["height"]) == ("h264", 320, 180)
    assert (video["gop_frames"], video["b_frames"]) == (25, True)
    assert video["fps"] == pytest.approx(25, rel=0.02)
    assert found["audio"]["codec"] == "aac"
    assert found["codec"].startswith("avc1.")
    assert found["opened_s"] < 5
    assert abs(found["clock_error_s"]) < 0.5
    assert "b-frames" in [each["code"] for each in found["advice"]]


def test_what_is_encoded_again_is_said(tmp_path: Path) -> None:
    """The chunk is H.264 by then: the advice is about what the camera sends."""
    film = tmp_path / "film.avi"
    film.write_bytes(pattern_clip(size=(320, 180), seconds=4, codec="mjpeg", container="avi"))

    found = findings(f"file://{film}")

    assert found["transcoding"] == "mjpeg -> h264"
    assert found["advice"][0]["code"] == "transcoded"


def test_people_read_it_as_text(clip: Path) -> None:
    """One fact a line."""
    done = doctor(f"file://{clip}")

    assert done.returncode == 0
    assert "h264 High 320x180, 25 frames a second, a keyframe every 1.0 s, B-frames" in done.stdout
    assert "keeps time" in done.stdout


def test_a_long_gop_is_waited_for_and_named(tmp_path: Path) -> None:
    """Who has waited that long learns what to change."""
    film = tmp_path / "film.mp4"
    film.write_bytes(pattern_clip(size=(320, 180), seconds=12, gop=150))

    found = findings(f"file://{film}")

    assert found["chunk_s"] == pytest.approx(6, abs=0.1)
    assert "long-gop" in [each["code"] for each in found["advice"]]


def test_a_camera_that_is_not_there_is_one_sentence_and_what_to_do() -> None:
    """The reason as the camera's events have it; no password, no stack."""
    done = doctor(f"rtsp://viewer:s3cret@127.0.0.1:{free_port()}/live")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("unreachable: rtsp://viewer:***@127.0.0.1:")
    assert "Check the address" in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_read_failures_too(tmp_path: Path) -> None:
    """The same words as JSON."""
    done = doctor(f"file://{tmp_path}/none.mp4", "--json")

    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert (said["reason"], said["remedy"] != "") == ("not-found", True)


def test_a_url_that_makes_no_sense_says_what_would() -> None:
    """Nothing is tried."""
    done = doctor("gopher://cam.test/")

    assert done.returncode == 1
    assert "expected a URL with one of rtsp" in done.stderr
    assert "Correct the URL" in done.stderr
