"""Cameras are added, changed, paused and taken away, and the process ends, while others are recorded on."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sluice import cameras
from sluice.cameras import decode
from sluice.contracts.camera import Camera
from sluice.names import camera_key
from sluice.topology import CAMERAS
from tests.chunks import checked_sessions, names_of
from tests.services.line import eventually
from tests.services.prepared import PreparedServers
from tests.services.recording import PATTERN, Witness, assert_gapless, assert_undisturbed, offline_reasons
from tests.services.segmenter import SegmenterProcess, pulled, segmenter_process, segmenter_servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

CHUNK_S = 2
REFRESH_S = 2
NEIGHBOUR = pulled("neighbour", PATTERN, target_s=CHUNK_S)
ACTED_ON = ("target", "sound", "pausing", "kept", "purged", "broken")
END_S = 10


@pytest.fixture(scope="module")
def prepared(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    """A store and NATS."""
    with segmenter_servers(minio_binary, tmp_path_factory.mktemp("servers")) as both:
        yield both


@pytest.fixture(scope="module")
def recording(prepared: PreparedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SegmenterProcess]:
    """A segmenter with a camera for each test, and one that nothing is done to."""
    folder = tmp_path_factory.mktemp("control")
    with segmenter_process(prepared, folder, {"SLUICE_CAMERAS_REFRESH_S": REFRESH_S}) as process:
        process.save(NEIGHBOUR)
        process.wait_for_chunks({"neighbour": 1})
        process.save(*(pulled(name, PATTERN, target_s=1) for name in ACTED_ON))
        process.wait_for_chunks(dict.fromkeys(ACTED_ON, 2))
        yield process


@pytest.fixture(scope="module")
def witness(prepared: PreparedServers) -> Iterator[Witness]:
    with Witness(prepared.store("admin")) as witness:
        yield witness


@pytest.fixture
def process(witness: Witness, recording: SegmenterProcess) -> Iterator[SegmenterProcess]:
    """The same; after each test, nothing has happened to the neighbour."""
    yield recording
    recording.wait_for_chunks({"neighbour": recording.chunks("neighbour") + 1})
    assert_undisturbed(recording.store, "neighbour", chunk_s=CHUNK_S, until_ms=time.time() * 1000, witness=witness)


def change(prepared: PreparedServers, process: SegmenterProcess, name: str, **changes: Any) -> None:
    """As `sluice camera` and `sluice apply` do."""
    with prepared.bus("admin") as bus:
        cameras.change(process.store, bus, name, lambda camera: Camera(**{**fields_of(camera), **changes}))


def fields_of(camera: Camera) -> dict[str, Any]:
    """Its fields, by name."""
    return {name: getattr(camera, name) for name in Camera.__dataclass_fields__}


def sluice(prepared: PreparedServers, process: SegmenterProcess, *arguments: str) -> str:
    """The command, as the administrator."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    told = {
        **prepared.secrets.part("admin"),
        "SLUICE_S3_URL": prepared.minio.url,
        "SLUICE_S3_REGION": prepared.minio.region,
        "SLUICE_BUCKET": "sluice",
        "SLUICE_NATS_URL": prepared.nats.url,
        "SLUICE_SEGMENTER_URL": f"http://127.0.0.1:{process.port}",
    }
    command = [sys.executable, "-m", "sluice.cli.main", *arguments, "--state", str(process.spool / "none")]
    done = subprocess.run(command, env=inherited | told, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_target_is_followed_within_the_session(prepared: PreparedServers, process: SegmenterProcess) -> None:
    """What does not touch the source interrupts nothing."""
    change(prepared, process, "target", target_s=3)

    eventually("longer chunks come", lambda: names_of(process.store, "target")[-1].duration_ms > 2500)

    (session,) = checked_sessions(process.store, "target")
    assert {round(each.name.duration_ms / 1000) for each in session.chunks} >= {1, 3}
    assert_gapless(each.name for each in session.chunks)


def test_without_sound_a_session_begins_that_has_none(prepared: PreparedServers, process: SegmenterProcess) -> None:
    """Other tracks are another init segment."""
    before = process.chunks("sound")

    change(prepared, process, "sound", audio=False)
    process.wait_for_chunks({"sound": before + 4})

    loud, silent = checked_sessions(process.store, "sound")
    assert {each.metadata["codec"].count("mp4a") for each in loud.chunks} == {1}
    assert {each.metadata["codec"].count("mp4a") for each in silent.chunks} == {0}


def test_a_paused_camera_is_left_alone_until_it_is_resumed(
    prepared: PreparedServers, process: SegmenterProcess
) -> None:
    """The open chunk is kept; whoever follows the events is told."""
    change(prepared, process, "pausing", paused=True)
    paused_ms = time.time() * 1000
    said = process.until("it is paused", lambda said: said["pausing"]["state"] == "paused" and said["pausing"])
    process.until("its spool is empty", lambda said: not said["pausing"]["spooled"])
    stored = names_of(process.store, "pausing")
    process.wait_for_chunks({"neighbour": process.chunks("neighbour") + 2})
    assert names_of(process.store, "pausing") == stored
    assert process.cameras()["pausing"]["packets"] == said["packets"]

    change(prepared, process, "pausing", paused=False)
    process.wait_for_chunks({"pausing": len(stored) + 2})

    assert abs(stored[-1].end_ms - paused_ms) < 1000
    assert len(checked_sessions(process.store, "pausing")) == 2
    assert offline_reasons(prepared, "pausing") == ["paused"]


def test_a_removed_camera_leaves_its_recordings_or_nothing(
    prepared: PreparedServers, process: SegmenterProcess
) -> None:
    """As its operator says."""
    removed_ms = time.time() * 1000
    sluice(prepared, process, "camera", "remove", "kept", "--keep")
    sluice(prepared, process, "camera", "remove", "purged", "--purge")

    process.until("they are gone", lambda said: not {"kept", "purged"} & set(said))

    kept = names_of(process.store, "kept")
    assert kept[-1].end_ms > removed_ms - 500
    assert_gapless(kept)
    assert offline_reasons(prepared, "kept") == ["removed"]
    assert [each.key for each in process.store.list("") if "purged" in each.key] == []


def test_a_camera_whose_object_is_spoilt_goes_on_as_it_was(process: SegmenterProcess) -> None:
    """An operator's slip of the pen stops no recording."""
    process.store.put(camera_key("broken"), b'{"name": "broken", "source": 7}', content_type="application/json")
    before = process.chunks("broken")

    process.wait_for_chunks({"broken": before + 2 * REFRESH_S + 2})

    (session,) = checked_sessions(process.store, "broken")
    assert_gapless(each.name for each in session.chunks)


def test_a_wiped_copy_stops_nobody_and_is_seeded_again(prepared: PreparedServers, process: SegmenterProcess) -> None:
    """The objects say which cameras there are."""
    before = {name: process.chunks(name) for name in ("neighbour", "target")}
    prepared.nats.wipe()
    process.wait_for_chunks({name: count + 2 for name, count in before.items()})

    prepared.prepare()  # as the bridge does

    with prepared.bus("admin") as bus:
        copies = bus.bucket(CAMERAS.name)
        entry = eventually("the copy is seeded", lambda: copies.get("neighbour"))
    assert decode(entry.value, name="neighbour") == NEIGHBOUR
    assert len(checked_sessions(process.store, "target")) == 1


def test_at_the_end_the_open_chunks_of_sixteen_cameras_are_uploaded(minio_binary: Path, tmp_path: Path) -> None:
    """A signal ends the process within ten seconds, and loses nothing."""
    names = [f"camera-{number}" for number in range(16)]
    with segmenter_servers(minio_binary, tmp_path) as prepared, segmenter_process(prepared, tmp_path) as process:
        process.save(*(pulled(name, PATTERN, target_s=30) for name in names))
        process.until("all are read", lambda said: sum(bool(each.get("packets")) for each in said.values()) == 16)
        process.until("a chunk is open", lambda said: min(each["packets"] for each in said.values()) > 75)
        ending_ms, began = time.time() * 1000, time.monotonic()

        process.stop()

        assert time.monotonic() - began < END_S
        assert not list(process.spool.glob("*/*.cut"))
        for name in names:
            (session,) = checked_sessions(process.store, name)
            assert abs(session.chunks[-1].name.end_ms - ending_ms) < 1000
            assert json.loads(process.store.get(f"state/segmenter/{name}.json").body)["next_seq"] == 2
            assert all(after.seq == before.seq + 1 for before, after in pairwise(names_of(process.store, name)))
