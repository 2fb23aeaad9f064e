"""Whoever operates a running system has its commands, which the environment alone tells where it is."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sluice import names
from tests.endtoend.system import System
from tests.recorded import record
from tests.services.line import eventually

pytestmark = [pytest.mark.line, pytest.mark.triton]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poison:
    """A chunk that cannot be dealt with as long as nobody knows its camera."""

    camera: str
    key: str


@pytest.fixture(scope="module")
def poison(system: System) -> Iterator[Poison]:
    """The Trigger of rehearsal.yaml delivers it and gives up within seconds; the shipped functions leave it alone."""
    camera = f"rehearsal-{uuid.uuid4().hex[:12]}"
    (chunk,) = record(system.store, camera, start_ms=time.time_ns() // 1_000_000 - 4000, chunks=1, activity="idle")
    eventually("a dead letter", lambda: _letters(system, camera), within_s=180)
    yield Poison(camera=camera, key=chunk.key)
    system.store.delete([names.camera_key(camera)])


def _letters(system: System, camera: str) -> list[list[str]]:
    """Words of each line; there may be several, as the sweeper does not give up."""
    return [line.split() for line in system.run("deadletter", "list").splitlines() if f" {camera} " in line]


def test_a_dead_letter_says_what_it_is_and_why(system: System, poison: Poison) -> None:
    """The function that could not be served, the chunk and the last answer."""
    number, *what = _letters(system, poison.camera)[0]

    shown = system.run("deadletter", "show", number)

    assert what[:2] == ["rehearsal", "dev.sluice.chunk.stored.v1"]
    assert poison.key in shown
    assert "503" in shown.split("\n\n")[-1]


def test_what_is_mended_is_replayed(system: System, poison: Poison) -> None:
    """Now that the camera is there the letters go to the Broker again, and each is done, with one result for all."""
    # Nobody pushes: all that it has is what was put here.
    system.run("camera", "add", poison.camera, "--push")

    system.run("deadletter", "replay", *(number for number, *_ in _letters(system, poison.camera)))

    found = eventually("a result", lambda: system.messages("rejected", poison.camera), within_s=120)
    assert [(each["found"], each["chunk"]["key"]) for each in found] == [("a rehearsal", poison.key)]
    assert _letters(system, poison.camera) == []


def test_events_are_shown_as_they_came(system: System, poison: Poison) -> None:
    """For people and for programs: the chunk, from its announcement on."""
    common = ("events", "--camera", poison.camera, "--kind", "chunks", "--since", "1h", "--no-follow")

    shown, told = system.run(*common), [json.loads(line) for line in system.run(*common, "--json").splitlines()]

    assert f"{poison.camera}" in shown
    assert "chunk.stored" in shown
    assert {each["data"]["chunk"]["key"] for each in told} == {poison.key}


def test_cameras_are_listed(system: System, poison: Poison) -> None:
    """With what they are, though nothing comes from them."""
    listed = json.loads(system.run("camera", "list", "--json"))

    assert poison.camera in {each["name"] for each in listed}
