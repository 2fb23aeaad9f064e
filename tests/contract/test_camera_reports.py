"""What the segmenter says of its cameras is what the command line reads."""

import json
import re
from dataclasses import asdict

from segmenter.fleet.pages import cameras_page
from segmenter.report import OFFLINE, ONLINE, CameraReport
from sluice.cli.camera_reports import table

NOW_MS = 1_795_262_400_000
GATE = CameraReport(
    camera="gate",
    state=ONLINE,
    codec="avc1.64001f",
    width=1280,
    height=720,
    fps=25.0,
    bitrate=2_140_000,
    transcoding="mjpeg -> h264",
    last_chunk_ms=NOW_MS - 1200,
    dropped={"full": 5, "old": 2},
    spooled=3,
    trouble="store is unavailable",
)
LOBBY = CameraReport(camera="lobby", state=OFFLINE, reason="silent", detail="no packet for 10 s")


def test_every_column_of_the_list_is_filled_by_the_segmenter() -> None:
    """Under the names that both agreed on."""
    page = cameras_page([asdict(GATE), asdict(LOBBY)], now_ms=NOW_MS)
    said = {each["camera"]: each for each in json.loads(page)}

    _, gate, lobby = (re.split(r"  +", line) for line in table(said, said, {}))

    note = "mjpeg -> h264, 3 chunks on disk, store is unavailable"
    assert gate == ["gate", "online", "avc1.64001f", "1280x720", "25", "2.1 Mbit/s", "1.2 s ago", "7", note]
    assert lobby == ["lobby", "offline", "-", "-", "-", "-", "-", "0", "silent, no packet for 10 s"]
