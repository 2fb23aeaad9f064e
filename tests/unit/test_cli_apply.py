"""`sluice apply`: cameras as a file says them, what changes, and every mistake with its line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sluice import cameras
from sluice.contracts.camera import Camera
from tests.desk import Desk, put_a_recording, recorded

GATE = Camera(name="gate", source="rtsp://admin:hunter22@10.0.0.7/stream1")
PHONE = Camera(name="phone", push_key=cameras.hashed_key("correct-horse"))


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


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


def test_a_function_can_be_told_to_do_nothing(sluice: Desk, applied: Callable[..., str]) -> None:
    """Said, shown and compared."""
    sluice("camera", "add", "gate", GATE.source, "--no-detect")

    assert cameras.load(sluice.store, "gate").functions == {"detect": ()}
    assert "detect          nothing" in sluice("camera", "show", "gate")
    assert "functions [detect nothing] -> []" in applied(f"- {{name: gate, source: '{GATE.source}'}}")


def test_apply_waits_once_for_a_nats_that_is_away(sluice: Desk, applied: Callable[..., str]) -> None:
    """Not once a camera; all of them are in the bucket."""
    sluice.bus.available = False
    text = "".join(f"- {{name: cam{number}, source: 'test://'}}\n" for number in range(5))

    assert "5 added" in applied(text)
    assert sluice.errors.count("within a minute") == 1
    assert len(cameras.load_all(sluice.store).cameras) == 5
