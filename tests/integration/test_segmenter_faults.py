"""Cameras that fail, and a worker that dies, while a neighbour is recorded on as if nothing were."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.chunks import checked_sessions
from tests.services import odd_cameras
from tests.services.prepared import PreparedServers
from tests.services.recording import PATTERN, Witness, assert_undisturbed, offline_reasons, recorded, told
from tests.services.relay import Relay, relay
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

SILENT_S = 2
CHUNK_S = 2
WORKER_MOST_BYTES = 250 << 20
REFUSED = {
    "unresolvable": "unresolvable",
    "guarded": "unauthorized",
    "garbage": "garbage",
    "endless-head": "silent|garbage|too-large",
    "hundred-streams": "too-large",
    "huge-pictures": "too-large",
}
"""Cameras that give no picture, and why they are said not to."""


@dataclass(kw_only=True)
class Scene:
    """A segmenter, the servers, and when what happened, Unix milliseconds."""

    process: SegmenterProcess
    prepared: PreparedServers
    witness: Witness
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of a camera, when it was refused."""
    struck_ms: float = 0
    over_ms: float = 0


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    """A store and NATS."""
    with segmenter_servers(minio_binary, tmp_path_factory.mktemp("servers")) as both:
        yield both


@pytest.fixture(scope="module")
def scene(prepared: PreparedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One worker with every kind of camera; one was killed and is back, one fell silent and is back."""
    answers = {
        "guarded": odd_cameras.guarded,
        "garbage": odd_cameras.garbage,
        "endless-head": odd_cameras.endless_head,
        "hundred-streams": odd_cameras.hundred_streams,
        "huge-pictures": odd_cameras.huge_pictures,
    }
    with (
        odd_cameras.odd_cameras(live=odd_cameras.live, **answers) as url,
        relay(f"{url}/live") as (dying, dying_url),
        relay(f"{url}/live") as (stalling, stalling_url),
        segmenter_process(prepared, tmp_path_factory.mktemp("faults"), {"SLUICE_SILENT_S": SILENT_S}) as process,
        Witness(prepared.store("admin")) as witness,
    ):
        scene = Scene(process=process, prepared=prepared, witness=witness)
        process.save(
            pulled("neighbour", PATTERN, target_s=CHUNK_S),
            pulled("dying", dying_url, target_s=1),
            pulled("stalling", stalling_url, target_s=1),
            pulled("unresolvable", "http://no-such-camera.invalid/live"),
            *(pulled(name, f"{url}/{name}") for name in answers),
        )
        strike(scene, dying, stalling)
        yield scene


def strike(scene: Scene, dying: Relay, stalling: Relay) -> None:
    """What happens to them."""
    process = scene.process
    process.wait_for_chunks({"neighbour": 2, "dying": 2, "stalling": 2})
    scene.struck_ms = time.time() * 1000
    dying.cut()
    stalling.stall()
    process.until(
        "both are offline", lambda said: {said[each]["state"] for each in ("dying", "stalling")} == {"offline"}
    )
    before = {name: process.chunks(name) for name in ("dying", "stalling")}
    dying.mend()
    stalling.flow()
    process.wait_for_chunks({name: count + 3 for name, count in before.items()})
    for name in REFUSED:
        scene.said[name] = process.until(f"{name} is refused", partial(_offline, name))
    scene.over_ms = time.time() * 1000


def _offline(name: str, said: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    return said[name] if said[name]["state"] == "offline" else None


def test_other_cameras_of_the_same_worker_notice_nothing(scene: Scene) -> None:
    """No gap, no new session, and no chunk late, whatever happens next door."""
    store, witness = scene.process.store, scene.witness

    assert_undisturbed(store, "neighbour", chunk_s=CHUNK_S, until_ms=scene.over_ms, witness=witness)


@pytest.mark.parametrize(("name", "reasons"), [("dying", {"ended", "unreachable"}), ("stalling", {"silent"})])
def test_a_camera_that_was_away_is_said_to_be_offline_and_online_again(
    scene: Scene, name: str, reasons: set[str]
) -> None:
    """Whoever follows the events knows when there was no picture, and why."""
    events = told(scene.prepared, name)

    whats = [each.what for each in events]
    offline = {each.reason for each in events if each.what == "camera.offline"}

    assert whats[0] == whats[-1] == "camera.online"
    assert "camera.offline" in whats
    assert offline & reasons
    assert offline <= reasons | {"unreachable", "ended"}


@pytest.mark.parametrize("name", ["dying", "stalling"])
def test_what_came_before_the_cut_is_kept(scene: Scene, name: str) -> None:
    """The open chunk is closed and uploaded; what comes later is a session of its own."""
    sessions = checked_sessions(scene.process.store, name)

    last = sessions[0].chunks[-1]

    assert len(sessions) == 2
    assert last.metadata["reason"] == "end"
    assert scene.struck_ms - 1000 <= last.name.end_ms <= scene.struck_ms + 200
    assert sessions[1].chunks[0].name.start_ms >= scene.struck_ms


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_camera_that_cannot_be_recorded_is_refused_with_a_reason(scene: Scene, name: str, reason: str) -> None:
    """An operator reads in the list and in the events what is wrong."""
    said = scene.said[name]

    assert said["reason"] in reason.split("|")
    assert said["detail"]
    assert said["chunks"] == 0
    assert said["reason"] in offline_reasons(scene.prepared, name)


def test_hostile_cameras_cost_bounded_memory(scene: Scene) -> None:
    """Endless headers, noise and huge pictures are not collected."""
    pid = scene.process.cameras()["neighbour"]["worker"]

    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    assert resident < WORKER_MOST_BYTES


@pytest.mark.alone
def test_a_killed_worker_is_back_within_two_seconds_and_nobody_else_notices(minio_binary: Path, tmp_path: Path) -> None:
    """A crash in a codec stops the cameras of one worker, for seconds."""
    names = ["one", "two", "three", "four"]
    with (
        segmenter_servers(minio_binary, tmp_path) as prepared,
        segmenter_process(prepared, tmp_path, {"SLUICE_CAMERAS_A_WORKER": 2}) as process,
        Witness(prepared.store("admin")) as witness,
    ):
        process.save(*(pulled(name, PATTERN, target_s=CHUNK_S) for name in names))
        process.wait_for_chunks(dict.fromkeys(names, 2))
        workers = {name: said["worker"] for name, said in process.cameras().items()}
        hit = [name for name in names if workers[name] == workers["one"]]
        spared = [name for name in names if name not in hit]

        killed_ms = time.time() * 1000
        os.kill(workers["one"], signal.SIGKILL)
        process.until(
            "its cameras are read again",
            lambda said: all(said[name].get("packets") and said[name]["worker"] != workers["one"] for name in hit),
        )
        before = {name: process.chunks(name) for name in names}
        process.wait_for_chunks({name: count + 2 for name, count in before.items()})
        over_ms = time.time() * 1000

        assert len(hit) == len(spared) == 2
        for name in spared:
            assert_undisturbed(process.store, name, chunk_s=CHUNK_S, until_ms=over_ms, witness=witness)
        for name in hit:
            _, resumed = checked_sessions(process.store, name)
            assert resumed.chunks[0].name.start_ms - killed_ms < 2000
            assert offline_reasons(prepared, name) == ["worker-died"]
            assert [each.what for each in told(prepared, name)][-1] == "camera.online"
            assert max(each.name.end_ms for each in recorded(process.store, name)) >= over_ms - 5000
