"""The commands about cameras: what an operator types, sees and is refused."""

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from sluice.local.administrator import Administrator
from sluice.store import ListedObject
from sluice.testing.bus import MemoryBus
from sluice.testing.store import MemoryStore
from sluice.topology import CAMERAS
from tests.builders import NOON_MS, a_chunk_name, a_small_chunk

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


class Desk:
    """A command line before a store and a NATS server in memory."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self.bus = MemoryStore(), MemoryBus()
        self.segmenter_url = ""
        self.slept: list[float] = []
        self._capsys = capsys
        self.errors = ""

    def __call__(self, *arguments: object) -> str:
        """What the command prints; it succeeds."""
        status, output = self.tried(*arguments)
        assert status == 0, self.errors
        return output

    def tried(self, *arguments: object) -> tuple[int, str]:
        """Its status, and what it prints."""
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        output, self.errors = self._capsys.readouterr()
        return status, output

    def refused(self, *arguments: object) -> str:
        """What the command complains of."""
        status, _ = self.tried(*arguments)
        assert status != 0
        return self.errors

    def copied(self, name: str) -> Camera | None:
        """The camera as the KV has it."""
        entry = self.bus.bucket(CAMERAS.name).get(name)
        return cameras.decode(entry.value, name=name) if entry and entry.value else None


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    desk = Desk(capsys)

    @contextmanager
    def opened(_state: Path) -> Iterator[Administrator]:
        yield Administrator(
            store=desk.store, bus=desk.bus, segmenter_url=desk.segmenter_url, rtmp_url="rtmp://cam:1935"
        )

    monkeypatch.setattr(administrator, "administrator", opened)
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


def test_a_function_can_be_told_to_do_nothing(sluice: Desk, applied: Callable[..., str]) -> None:
    """Said, shown and compared."""
    sluice("camera", "add", "gate", GATE.source, "--no-detect")

    assert cameras.load(sluice.store, "gate").functions == {"detect": ()}
    assert "detect          nothing" in sluice("camera", "show", "gate")
    assert "functions [detect nothing] -> []" in applied(f"- {{name: gate, source: '{GATE.source}'}}")


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


def recorded(desk: Desk) -> list[str]:
    return [each.key for each in desk.store.list("") if not each.key.startswith("cameras/")]


def put_a_recording(desk: Desk, camera: str = "gate", start_ms: int = NOON_MS) -> str:
    chunk = a_small_chunk()
    name = a_chunk_name(camera, start_ms=start_ms, init=chunk.init8)
    desk.store.put(name.key, chunk.body)
    desk.store.put(name.init_key, chunk.init)
    return name.key


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


@pytest.fixture
def applied(sluice: Desk, tmp_path: Path) -> Callable[..., str]:
    """Apply a file with this text."""
    file = tmp_path / "cameras.yaml"

    def apply(text: str, *options: str) -> str:
        file.write_text(text, "utf-8")
        status, output = sluice.tried("apply", file, *options)
        if status:
            return sluice.errors.replace(str(file), "FILE")
        return output

    return apply


def test_apply_adds_changes_and_says_what_stays(sluice: Desk, applied: Callable[..., str]) -> None:
    """A line a camera; one that is not named stays."""
    for camera in (replace(GATE, name="lobby"), replace(GATE, name="old"), replace(GATE, name="same")):
        cameras.save(sluice.store, sluice.bus, camera)
    text = f"""
- name: gate
  source: test://
- name: lobby
  source: {GATE.source}
  target_s: 4
  audio: no
  functions: {{detect: [{{model: objects, fps: 5}}]}}
- name: same
  source: {GATE.source}
- name: phone
  push: {{key: correct-horse}}
"""
    tried = applied(text, "--dry-run")
    before = cameras.load_all(sluice.store)

    done = applied(text)

    assert done.splitlines() == [
        "+ gate",
        "~ lobby: target_s 3 -> 4, audio yes -> no, functions [] -> [detect objects: fps 5]",
        "? old: not in the file, stays (--prune removes it)",
        "+ phone",
        "2 added, 1 changed",
    ]
    assert tried.splitlines() == [*done.splitlines()[:-1], "2 to be added, 1 to be changed"]
    assert set(before.cameras) == {"lobby", "old", "same"}
    after = cameras.load_all(sluice.store).cameras
    assert set(after) == {*before.cameras, "gate", "phone"}
    assert after["phone"] == PHONE
    assert all(sluice.copied(name) == camera for name, camera in after.items() if name not in ("old", "same"))


def test_applied_again_nothing_changes(applied: Callable[..., str]) -> None:
    """What was written compares equal to what is wanted."""
    text = "[{name: gate, source: 'test://', target_s: 4, functions: {detect: [{labels: [a, b]}]}}]"
    applied(text)

    assert applied(text) == "nothing changed: the cameras are as the file says\n"


def test_prune_removes_what_the_file_does_not_name(sluice: Desk, applied: Callable[..., str]) -> None:
    """Recordings stay; with an empty file all cameras go."""
    cameras.save(sluice.store, sluice.bus, GATE)
    put_a_recording(sluice)

    assert applied("", "--prune", "--dry-run") == "- gate\n1 to be removed\n"
    assert sluice.copied("gate") == GATE
    assert applied("", "--prune") == "- gate\n1 removed\n"
    assert sluice.copied("gate") is None
    assert len(recorded(sluice)) == 2


def test_a_file_that_is_silent_about_pausing_leaves_it(sluice: Desk, applied: Callable[..., str]) -> None:
    """Pausing is for a moment; a file that says `paused` means it."""
    cameras.save(sluice.store, sluice.bus, replace(GATE, paused=True))
    text = f"- name: gate\n  source: {GATE.source}\n"

    assert applied(text).startswith("nothing changed")
    assert applied(f"{text}  target_s: 9\n").startswith("~ gate: target_s 3 -> 9\n")
    assert cameras.load(sluice.store, "gate") == replace(GATE, target_s=9, paused=True)
    assert applied(f"{text}  target_s: 9\n  paused: false\n").startswith("~ gate: paused yes -> no\n")


def test_a_difference_shows_no_secret(sluice: Desk, applied: Callable[..., str]) -> None:
    """Neither the old one nor the new one."""
    cameras.save(sluice.store, sluice.bus, GATE)
    cameras.save(sluice.store, sluice.bus, PHONE)
    source = GATE.source.replace("hunter22", "hunter33")

    output = applied(f"[{{name: gate, source: '{source}'}}, {{name: phone, push: {{key: hunter33}}}}]")

    assert "hunter" not in output
    assert PHONE.push_key not in output
    assert output.startswith("~ gate: source (what is hidden)\n~ phone: push_key (what is hidden)\n")
    assert cameras.key_fits(cameras.load(sluice.store, "phone"), "hunter33")


def test_an_unreadable_camera_is_written_anew(sluice: Desk, applied: Callable[..., str]) -> None:
    """If the file names it; what is no camera's object is left alone."""
    sluice.store.put("cameras/gate.json", b"{")
    sluice.store.put("cameras/Odd.json", b"{")

    output = applied(f"- {{name: gate, source: '{GATE.source}'}}", "--prune")

    assert output.startswith("~ gate: written anew, as it cannot be read: ")
    assert cameras.load(sluice.store, "gate") == GATE
    assert "cameras/Odd.json" in [each.key for each in sluice.store.list("cameras/")]


def test_all_mistakes_of_a_file_are_told_with_their_lines(sluice: Desk, applied: Callable[..., str]) -> None:
    """And nothing of it is applied."""
    text = """\
- name: gate
  source: test://
- name: lobby
  source: test://
  target_s: 99
  functions:
    detect:
      - model: objects
      - model: Faces
        fps: 0
- name: gate
  source: test://
- source: test://
- just text
- name: twice
  source: test://
  audio: yes
  audio: no
"""
    complaints = applied(text).splitlines()

    assert complaints == [
        "FILE:18: expected audio once, found it again",
        "FILE:5: lobby: target_s: expected seconds from 1 to 30, found 99",
        "FILE:9: lobby: functions.detect[1].model: expected [a-z0-9][a-z0-9-]{0,62}, found 'Faces'",
        "FILE:10: lobby: functions.detect[1].fps: expected frames a second from 0.1 to 60, found 0",
        "FILE:11: gate: expected one camera of a name, found two",
        "FILE:13: a camera: name: expected [a-z0-9][a-z0-9-]{0,62}, found nothing",
        "FILE:14: a camera: name: expected [a-z0-9][a-z0-9-]{0,62}, found nothing",
        "FILE:14: a camera: source: expected a source or a push key, and not both, found neither",
    ]
    assert list(sluice.store.list("")) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: gate",
        "[",
        "\x00",
        "- &a [*a]",
        "- {name: !!python/object:os.system gate}",
        "- {name: gate, source: 'test://', target_s: 0x" + "f" * 5000 + "}",
        "- {name: gate, retention_days: 2026-99-99}",
        "[" * 3000,
        "- {[a, b]: c}",
        "--- []\n--- []\n",
    ],
)
def test_a_file_that_is_none_is_refused(applied: Callable[..., str], text: str) -> None:
    """In a sentence, not by a stack."""
    assert applied(text).startswith("FILE:")


def test_a_file_that_is_not_there_is_refused(sluice: Desk, tmp_path: Path) -> None:
    """Before anything is connected."""
    assert sluice.refused("apply", tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: No such file or directory\n"


def test_a_snapshot_is_of_the_newest_chunk(sluice: Desk, tmp_path: Path) -> None:
    """Its last keyframe."""
    put_a_recording(sluice)
    put_a_recording(sluice, start_ms=NOON_MS + 86_400_000)

    output = sluice("snapshot", "gate", "-o", tmp_path / "x.jpg")

    assert output == f"{tmp_path}/x.jpg: 320x180, 2026-11-22T12:00:01.000Z\n"
    assert (tmp_path / "x.jpg").read_bytes().startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("2026-11-21T12:00:00.5Z", "12:00:00.000Z"),
        ("2026-11-21T12:00:01.5", "12:00:01.000Z"),
        ("2026-11-21T13:00:01.999+01:00", "12:00:01.000Z"),
    ],
)
def test_a_snapshot_of_a_time_is_the_last_keyframe_until_then(
    sluice: Desk, tmp_path: Path, at: str, taken: str
) -> None:
    """From the chunk that shows it."""
    for start_ms in (NOON_MS - 3_600_000, NOON_MS, NOON_MS + 2000, NOON_MS + 86_400_000):
        put_a_recording(sluice, start_ms=start_ms)

    output = sluice("snapshot", "gate", "-o", tmp_path / "x.jpg", "--at", at)

    assert taken in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gate", "--at", "2026-11-21T12:00:09Z"), "from 2026-11-21T12:00:02.000Z to 2026-11-21T12:00:09.000Z"),
        (("gate", "--at", "2026-11-21T11:59:59Z"), "nothing was recorded of 'gate' until 2026-11-21T11:59:59.000Z"),
        (("lobby",), "nothing was recorded of 'lobby'"),
        (("Gate",), "camera id 'Gate'"),
        (("gate", "--at", "noon"), "expected a time"),
        (("gate", "-o", "/nowhere/x.jpg"), "/nowhere/x.jpg: No such file"),
    ],
)
def test_a_picture_that_cannot_be_had_is_refused(sluice: Desk, arguments: tuple[str, ...], complaint: str) -> None:
    """With what is there instead."""
    put_a_recording(sluice)

    assert complaint in sluice.refused("snapshot", *arguments)


def test_a_snapshot_lists_little_of_what_was_recorded(
    sluice: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A year has ten million chunks."""
    for day in range(30):
        for chunk in range(20):
            name = a_chunk_name(start_ms=NOON_MS + day * 86_400_000 + chunk * 2000)
            sluice.store.put(name.key, b"x")
    put_a_recording(sluice, start_ms=NOON_MS + 40 * 86_400_000)
    seen: list[str] = []
    listed = sluice.store.list

    def counted(prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        for each in listed(prefix, after=after):
            seen.append(each.key)
            yield each

    monkeypatch.setattr(MemoryStore, "list", lambda _self, prefix, *, after="": counted(prefix, after=after))

    sluice("snapshot", "gate", "-o", tmp_path / "x.jpg")

    assert len(seen) < 40


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


def test_apply_waits_once_for_a_nats_that_is_away(sluice: Desk, applied: Callable[..., str]) -> None:
    """Not once a camera; all of them are in the bucket."""
    sluice.bus.available = False
    text = "".join(f"- {{name: cam{number}, source: 'test://'}}\n" for number in range(5))

    assert "5 added" in applied(text)
    assert sluice.errors.count("within a minute") == 1
    assert len(cameras.load_all(sluice.store).cameras) == 5
