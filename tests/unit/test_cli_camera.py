"""The commands about cameras: what an operator types, sees and is refused."""

import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from sluice import cameras
from sluice.cli.main import main
from sluice.contracts.camera import Camera, Work
from sluice.local import administrator
from tests.desk import Desk, put_a_recording, recorded

GATE = Camera(name="gate", source="rtsp://admin:hunter22@10.0.0.7/stream1")
PHONE = Camera(name="phone", push_key=cameras.hashed_key("correct-horse"))
SAID = {
    "camera": "gate",
    "state": "online",
    "codec": "avc1.64001f",
    "width": 1280,
    "height": 720,
    "fps": 24.97,
    "bitrate": 2_140_000,
    "last_chunk_s": 1.24,
    "dropped": 0,
    "reconnects": 2,
    "spooled": 0,
    "transcoding": None,
    "reason": None,
    "detail": None,
    "worker": "worker-1",
}


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    desk = Desk(monkeypatch, capsys)
    desk.rtmp_url = "rtmp://cam:1935"
    monkeypatch.setattr(cameras.purge, "__kwdefaults__", {"sleep": desk.slept.append})
    return desk


@pytest.fixture
def segmenter(sluice: Desk) -> Iterator[Callable[[Any], None]]:
    """Call it with what GET /cameras answers."""
    said: list[bytes] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/cameras" else 404)
            self.end_headers()
            self.wfile.write(said[0])

        def log_message(self, *_arguments: Any) -> None:
            """Quiet."""

    def says(reports: Any) -> None:
        said[:] = [json.dumps(reports).encode()]

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        sluice.segmenter_url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield says
        server.shutdown()
        thread.join()


def test_a_pulled_camera_is_added(sluice: Desk) -> None:
    """Object and copy; what is not said is the contract's default."""
    output = sluice("camera", "add", "gate", GATE.source)

    assert output == "added gate\n"
    assert cameras.load(sluice.store, "gate") == sluice.copied("gate") == GATE


def test_every_option_of_add_is_obeyed(sluice: Desk) -> None:
    """Each field of the contract but `paused`, which has a verb."""
    works = ("objects:fps=5,labels=person+car,min-score=0.5", "faces")
    flags = ("--no-record", "--no-audio", "--keyframes-only", "--target", "4", "--retention", "36h")

    sluice("camera", "add", "gate", GATE.source, *flags, *(part for work in works for part in ("--detect", work)))

    detect = (Work(model="objects", fps=5, labels=("person", "car"), min_score=0.5), Work(model="faces"))
    assert cameras.load(sluice.store, "gate") == replace(
        GATE,
        target_s=4,
        record=False,
        audio=False,
        keyframes_only=True,
        retention_days=1.5,
        functions={"detect": detect},
    )


def test_a_source_is_read_from_stdin(sluice: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no shell remembers its password."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{GATE.source}\n"))

    sluice("camera", "add", "gate", "-")

    assert cameras.load(sluice.store, "gate") == GATE


@pytest.mark.parametrize(("text", "days"), [("7d", 7), ("2w", 14), ("12h", 0.5), ("3", 3), ("0", 0)])
def test_retention_has_units(sluice: Desk, text: str, days: float) -> None:
    """Days, where none is said."""
    sluice("camera", "add", "gate", GATE.source, "--retention", text)

    assert cameras.load(sluice.store, "gate").retention_days == days


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gate",), "either a URL or --push"),
        (("gate", "rtsp://h/", "--push"), "either a URL or --push"),
        (("gate", "rtsp://h/", "--key", "long-enough"), "--key with --push"),
        (("gate", "--push", "--key", "short"), "8 to 128"),
        (("Gate", "rtsp://h/"), "[a-z0-9]"),
        (("gate", "gopher://h/"), "source: expected"),
        (("gate", "rtsp://h/", "--target", "31"), "target_s: expected seconds from 1 to 30, found 31.0"),
        (("gate", "rtsp://h/", "--retention", "soon"), "h, d or w"),
        (("gate", "rtsp://h/", "--detect", "objects:fps"), "fps without a value"),
        (("gate", "rtsp://h/", "--detect", "objects:colour=1"), "functions.detect[0].colour"),
        (("gate", "rtsp://h/", "--detect", "objects:fps=100"), "functions.detect[0].fps"),
    ],
)
def test_what_cannot_be_added_is_refused(sluice: Desk, arguments: tuple[str, ...], complaint: str) -> None:
    """In a sentence, and nothing is written."""
    assert complaint in sluice.refused("camera", "add", *arguments)
    assert list(sluice.store.list("")) == []


def test_a_camera_is_not_added_over_another(sluice: Desk) -> None:
    """Whoever means to change it says so."""
    sluice("camera", "add", "gate", GATE.source)

    complaint = sluice.refused("camera", "add", "gate", "rtsp://elsewhere/")

    assert "there is a camera 'gate' already" in complaint
    assert cameras.load(sluice.store, "gate") == GATE


def test_a_push_key_is_shown_once_and_stored_as_its_hash(sluice: Desk) -> None:
    """With the commands that can be copied."""
    sluice.segmenter_url = "http://cam:8080/"

    output = sluice("camera", "add", "phone", "--push")

    [key] = set(re.findall(r"shown this once: (\S+)", output))
    assert f"-method PUT 'http://cam:8080/ingest/phone?key={key}'" in output
    assert f"-f flv rtmp://cam:1935/phone/{key}" in output
    assert cameras.key_fits(cameras.load(sluice.store, "phone"), key)
    assert key.encode() not in sluice.store.get("cameras/phone.json").body
    assert key not in sluice("camera", "show", "phone") + sluice("camera", "show", "phone", "--json")


def test_a_given_key_is_taken(sluice: Desk) -> None:
    """For a device that was set up already."""
    sluice("camera", "add", "phone", "--push", "--key", "correct-horse")

    assert cameras.load(sluice.store, "phone") == PHONE


def test_the_list_shows_what_the_segmenter_says(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """Aligned under headings; what it records without being configured is shown, too."""
    for camera in (GATE, PHONE):
        cameras.save(sluice.store, sluice.bus, camera)
    old = {"camera": "old", "state": "offline", "reason": "silent", "detail": "no packet for 10 s", "fps": 0.0}
    stuck = {"audio_dropped": "opus", "spooled": 3, "trouble": "store is unavailable"}
    phone = {**SAID, "camera": "phone", "bitrate": 900, "transcoding": "mjpeg -> h264", "dropped": 7, **stuck}
    segmenter([SAID, phone, old])

    lines = sluice("camera", "list").splitlines()

    note = "silent, no packet for 10 s, not configured"
    notes = "mjpeg -> h264, sound left out: opus, 3 chunks on disk, store is unavailable"
    assert lines == [
        "name   state    codec        size      fps    bitrate     last chunk  drops  note",
        "gate   online   avc1.64001f  1280x720  24.97  2.1 Mbit/s  1.2 s ago   0",
        f"old    offline  -            -         -      -           -           -      {note}",
        f"phone  online   avc1.64001f  1280x720  24.97  1 kbit/s    1.2 s ago   7      {notes}",
    ]


def test_a_state_is_not_its_own_reason(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """`paused, paused` says nothing."""
    cameras.save(sluice.store, sluice.bus, GATE)
    segmenter([{"camera": "gate", "state": "paused", "reason": "paused"}])

    assert sluice("camera", "list").count("paused") == 1


def test_without_the_segmenter_the_cameras_are_listed(sluice: Desk) -> None:
    """Their state is unknown, and it says why."""
    cameras.save(sluice.store, sluice.bus, GATE)

    lines = sluice("camera", "list").splitlines()

    assert re.fullmatch(r"gate +unknown( +-)+", lines[1])
    assert "SLUICE_SEGMENTER_URL" in sluice.errors


@pytest.mark.parametrize("answer", [{}, ["gate"], [{"state": "online"}], 7, None])
def test_a_segmenter_that_talks_nonsense_is_one_that_does_not_answer(
    sluice: Desk, segmenter: Callable[[Any], None], answer: Any
) -> None:
    """No stack, whatever listens on that port."""
    cameras.save(sluice.store, sluice.bus, GATE)
    segmenter(answer)

    assert "unknown" in sluice("camera", "list")


def test_a_camera_cannot_drive_the_terminal(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """What it says of itself is printed without control characters, passwords, and end."""
    cameras.save(sluice.store, sluice.bus, GATE)
    banner = "\x1b[2J\nname rtsp://u:hunter22@h/ \x9b" + "x" * 5000
    segmenter([{**SAID, "state": "off\x1bline", "detail": banner, "codec": "\r"}])

    for output in (sluice("camera", "list"), sluice("camera", "show", "gate")):
        assert all(letter.isprintable() or letter == "\n" for letter in output)
        assert "hunter22" not in output
        assert max(map(len, output.splitlines())) < 400


def test_an_unreadable_camera_is_told(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """It hides none of the others."""
    cameras.save(sluice.store, sluice.bus, GATE)
    sluice.store.put("cameras/bad.json", b"{")
    segmenter([SAID, {"camera": "bad", "state": "offline", "reason": "unsupported"}])

    lines = sluice("camera", "list").splitlines()

    assert [line.split()[0] for line in lines] == ["name", "bad", "gate"]
    assert "not configured" not in lines[1]
    assert "bad cannot be read: camera 'bad': object: expected JSON" in sluice.errors


def test_the_list_for_programs(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """Settings and state, without passwords and hashes."""
    for camera in (GATE, PHONE):
        cameras.save(sluice.store, sluice.bus, camera)
    segmenter([SAID])

    gate, phone = json.loads(sluice("camera", "list", "--json"))

    assert gate["name"] == "gate"
    assert (gate["state"], gate["bitrate"], gate["push"]) == ("online", 2_140_000, False)
    assert gate["source"] == "rtsp://admin:***@10.0.0.7/stream1"
    assert (phone["state"], phone["push"]) == ("unknown", True)
    assert PHONE.push_key not in json.dumps(phone)


def test_show_tells_every_setting(sluice: Desk, segmenter: Callable[[Any], None]) -> None:
    """The source without its password."""
    works = (Work(model="faces", fps=5, labels=("person", "car"), min_score=0.5), Work())
    cameras.save(sluice.store, sluice.bus, replace(GATE, functions={"detect": works}))
    segmenter([SAID])

    shown = dict(re.split(r"  +", line, maxsplit=1) for line in sluice("camera", "show", "gate").splitlines()[:10])

    assert shown["source"] == "rtsp://admin:***@10.0.0.7/stream1"
    assert shown["retention"] == "7 days (stored; enforced by a later function)"
    assert shown["target"] == "3 s"
    assert shown["detect"] == "its own model"
    assert "detect          faces: fps 5, labels person+car, min score 0.5" in sluice("camera", "show", "gate")
    assert "state           online" in sluice("camera", "show", "gate")


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "remove"])
def test_an_unknown_camera_is_told_with_those_that_there_are(sluice: Desk, verb: str) -> None:
    """One sentence."""
    cameras.save(sluice.store, sluice.bus, GATE)

    assert sluice.refused("camera", verb, "gat") == "there is no camera 'gat'; there are: gate\n"


def test_pause_and_resume_change_nothing_else(sluice: Desk) -> None:
    """And again changes nothing."""
    cameras.save(sluice.store, sluice.bus, replace(GATE, target_s=9))

    for verb, paused in (("pause", True), ("pause", True), ("resume", False)):
        sluice("camera", verb, "gate")
        assert cameras.load(sluice.store, "gate") == replace(GATE, target_s=9, paused=paused) == sluice.copied("gate")


@pytest.mark.parametrize("answer", [(), ("--keep",)], ids=["by default", "when told"])
def test_a_removed_camera_leaves_its_recordings(sluice: Desk, answer: tuple[str, ...]) -> None:
    """Without a terminal nobody can be asked."""
    cameras.save(sluice.store, sluice.bus, GATE)
    put_a_recording(sluice)

    sluice("camera", "remove", "gate", *answer)

    assert sluice.copied("gate") is None
    assert cameras.load_all(sluice.store).cameras == {}
    assert len(recorded(sluice)) == 2


def test_a_purge_takes_the_recordings_of_this_camera(sluice: Desk) -> None:
    """Also of one that was removed before."""
    cameras.save(sluice.store, sluice.bus, GATE)
    put_a_recording(sluice)
    put_a_recording(sluice, "gate-2")

    assert "2 objects of gate deleted" in sluice("camera", "remove", "gate", "--purge")
    assert all("gate-2" in key for key in recorded(sluice))
    assert "2 objects of gate-2 deleted" in sluice("camera", "remove", "gate-2", "--purge")
    assert recorded(sluice) == []


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 2), ("", 2)])
def test_at_a_terminal_it_asks(sluice: Desk, monkeypatch: pytest.MonkeyPatch, answer: str, left: int) -> None:
    """What is deleted is gone."""
    cameras.save(sluice.store, sluice.bus, GATE)
    put_a_recording(sluice)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: answer)

    sluice("camera", "remove", "gate")

    assert len(recorded(sluice)) == left


def test_without_nats_everything_works_with_a_warning(sluice: Desk) -> None:
    """The bucket has it; the segmenter looks by itself."""
    sluice.bus.available = False

    for command in (("add", "gate", GATE.source), ("pause", "gate"), ("remove", "gate")):
        sluice("camera", *command)
        assert "within a minute" in sluice.errors

    assert cameras.load_all(sluice.store).cameras == {}


@pytest.mark.parametrize(("told", "waited_s"), [(True, 5), (False, 65)])
def test_a_purge_waits_until_the_segmenter_must_have_seen_it(sluice: Desk, told: bool, waited_s: float) -> None:
    """It looks into the bucket once a minute, so that long it may go on recording."""
    cameras.save(sluice.store, sluice.bus, GATE)
    sluice.bus.available = told

    sluice("camera", "remove", "gate", "--purge")

    assert sum(sluice.slept) == waited_s


def test_no_runtime_and_no_cluster_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What to start, and what to set."""
    assert main(["camera", "list", "--state", str(tmp_path)]) == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"no runtime runs in {tmp_path} (sluice up)")
    assert "SLUICE_S3_URL" in line


def test_a_cluster_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where no runtime runs."""
    for name, value in {"S3_URL": "http://127.0.0.1:1", "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b"}.items():
        monkeypatch.setenv(f"SLUICE_{name}", value)
    monkeypatch.setenv("SLUICE_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("SLUICE_S3_TIMEOUT_S", "1")
    monkeypatch.setenv("SLUICE_SEGMENTER_URL", "https://segmenter.example:8443")

    with administrator.administrator(tmp_path) as admin:
        assert (admin.segmenter_url, admin.rtmp_url) == (
            "https://segmenter.example:8443",
            "rtmp://segmenter.example:1935",
        )
    assert main(["camera", "list", "--state", str(tmp_path)]) == 1
    assert "store is unavailable" in capsys.readouterr().err
