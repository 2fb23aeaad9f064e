"""Cameras on a real store and a real NATS server: commands as processes, writers at once, purges of thousands."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sluice import cameras
from sluice.bus import NatsBus
from sluice.contracts.camera import Camera
from sluice.errors import ConflictError
from sluice.local.administrator import administrator
from sluice.local.state import State
from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, S3_SECRET, S3_USER
from sluice.store import S3Store
from sluice.topology import CAMERAS
from tests.builders import NOON_MS, a_chunk_name, a_small_chunk
from tests.services.prepared import BUCKET, PreparedServers, both_lanes, servers

pytestmark = [pytest.mark.s3, pytest.mark.nats]

GATE = Camera(name="gate", source="rtsp://admin:hunter22@10.0.0.7/stream1")


@pytest.fixture(scope="module")
def both(minio_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServers]:
    with servers(minio_binary, tmp_path_factory.mktemp("cameras"), lanes=both_lanes) as prepared:
        prepared.prepare()
        yield prepared


@pytest.fixture
def store(both: PreparedServers) -> Iterator[S3Store]:
    """As administrator, without any camera."""
    store = both.store("admin")
    for each in list(store.list("cameras/")):
        store.delete([each.key])
    yield store
    store.close()


@pytest.fixture
def bus(both: PreparedServers) -> Iterator[NatsBus]:
    with both.bus("admin") as bus:
        yield bus


def environment(both: PreparedServers) -> dict[str, str]:
    admin = both.secrets.part("admin")
    names = (S3_USER, S3_SECRET, NATS_USER, NATS_PASSWORD)
    return {
        "SLUICE_S3_URL": both.minio.url,
        "SLUICE_S3_REGION": both.minio.region,
        "SLUICE_BUCKET": BUCKET,
        "SLUICE_NATS_URL": both.nats.url,
        **{name: admin[name] for name in names},
    }


@pytest.fixture
def sluice(both: PreparedServers, tmp_path: Path) -> Callable[..., str]:
    """The command as a process, which the environment tells where the cluster is."""

    def run(*arguments: object) -> str:
        command = [sys.executable, "-m", "sluice.cli.main", *map(str, arguments), "--state", str(tmp_path / "none")]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        done = subprocess.run(
            command, env=inherited | environment(both), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def copied(bus: NatsBus, name: str = "gate") -> bytes | None:
    entry = bus.bucket(CAMERAS.name).get(name)
    return entry.value if entry else None


def test_a_camera_lives_by_commands(sluice: Callable[..., str], store: S3Store, bus: NatsBus, tmp_path: Path) -> None:
    """Added, listed, changed by a file, paused, seen, purged: in the bucket and in the copy."""
    file = tmp_path / "cameras.yaml"
    file.write_text(f"- {{name: gate, source: '{GATE.source}', target_s: 4}}\n", "utf-8")
    chunk = a_small_chunk()
    name = a_chunk_name(init=chunk.init8)
    store.put(name.key, chunk.body)

    sluice("camera", "add", "gate", GATE.source)
    [listed] = json.loads(sluice("camera", "list", "--json"))
    applied = sluice("apply", file)
    sluice("camera", "pause", "gate")
    picture = sluice("snapshot", "gate", "-o", tmp_path / "x.jpg")

    assert (listed["name"], listed["state"]) == ("gate", "unknown")
    assert applied == "~ gate: target_s 3 -> 4\n1 changed\n"
    assert cameras.load(store, "gate") == replace(GATE, target_s=4, paused=True)
    assert copied(bus) == store.get("cameras/gate.json").body
    assert "320x180" in picture

    sluice("camera", "remove", "gate", "--purge")

    assert copied(bus) is None
    assert [each.key for each in store.list("") if "/gate/" in each.key or each.key.startswith("cameras/")] == []


def test_the_local_runtime_tells_where_everything_is(both: PreparedServers, tmp_path: Path) -> None:
    """Its folder holds the addresses and the administrator's secrets; nothing is asked of the environment."""
    state = State(tmp_path)
    values = environment(both)
    secret = {name: values.pop(name) for name in (S3_USER, S3_SECRET, NATS_USER, NATS_PASSWORD)}
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "admin.env").write_text("".join(f"{name}={value}\n" for name, value in secret.items()))
    endpoints = {"workloads": {"segmenter": "http://127.0.0.1:9"}}
    state.write_runtime({"ready": True, "endpoints": endpoints, "configmap": values})

    with administrator(tmp_path) as admin:
        warning = cameras.save(admin.store, admin.bus, GATE)

        assert warning is None
        assert cameras.load(admin.store, "gate") == GATE
        assert (admin.segmenter_url, admin.rtmp_url) == ("http://127.0.0.1:9", "rtmp://127.0.0.1:1935")


def test_the_segmenter_may_read_and_mend_but_not_change(both: PreparedServers, store: S3Store, bus: NatsBus) -> None:
    """With its own users: it lists the objects and writes a lost copy again."""
    cameras.save(store, bus, GATE)
    bus.bucket(CAMERAS.name).delete("gate")
    theirs = both.store("segmenter")

    with both.bus("segmenter") as their_bus:
        loaded = cameras.load_all(theirs)
        warning = cameras.mirror(theirs, their_bus, "gate")

    assert (loaded.cameras, loaded.problems) == ({"gate": GATE}, {})
    assert warning is None
    assert copied(bus) == cameras.encode(GATE)


def test_writers_at_once_lose_nothing(both: PreparedServers, store: S3Store, bus: NatsBus) -> None:
    """Each change is there at the end, and the copy is of the last."""
    cameras.save(store, bus, GATE)
    turns = 12

    def longer(camera: Camera) -> Camera:
        return replace(camera, target_s=camera.target_s + 1)

    def kept_longer(camera: Camera) -> Camera:
        return replace(camera, retention_days=camera.retention_days + 1)

    def work(changed: Callable[[Camera], Camera]) -> None:
        with both.bus("admin") as mine:
            for _ in range(turns):
                while True:
                    try:
                        assert cameras.change(store, mine, "gate", changed)[1] is None
                    except ConflictError:
                        continue
                    break

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (longer, kept_longer)))

    assert cameras.load(store, "gate") == replace(GATE, target_s=3 + turns, retention_days=7 + turns)
    assert copied(bus) == store.get("cameras/gate.json").body


def test_a_camera_is_created_by_one_of_two(both: PreparedServers, store: S3Store) -> None:
    """The other is told."""
    ready = threading.Barrier(2)

    def work(target_s: float) -> float | None:
        with both.bus("admin") as mine:
            ready.wait()
            try:
                cameras.create(store, mine, replace(GATE, target_s=target_s))
            except ConflictError:
                return None
            return target_s

    with ThreadPoolExecutor(2) as pool:
        won = [each for each in pool.map(work, (5.0, 6.0)) if each]

    assert [cameras.load(store, "gate").target_s] == won


def test_while_nats_is_away_the_bucket_is_written(both: PreparedServers, store: S3Store, bus: NatsBus) -> None:
    """With a warning, in bounded time; whoever mirrors later mends the copy."""
    cameras.save(store, bus, GATE)
    both.nats.stop()
    try:
        began = time.monotonic()
        _, warning = cameras.change(store, bus, "gate", lambda camera: replace(camera, paused=True))
        took_s = time.monotonic() - began
    finally:
        both.nats.start()

    assert warning is not None
    assert "within a minute" in warning
    assert took_s < 15
    assert cameras.load(store, "gate").paused
    assert cameras.mirror(store, bus, "gate") is None
    assert copied(bus) == store.get("cameras/gate.json").body


def test_a_purge_of_thousands_leaves_other_cameras_alone(store: S3Store) -> None:
    """In every folder, with a last chunk that comes while it waits."""
    mine = [a_chunk_name(start_ms=NOON_MS + 2000 * number, seq=number + 1) for number in range(900)]
    keys = [
        *(name.key for name in mine),
        *(name.result_key("inspect") for name in mine[:500]),
        *(name.result_key("detect", "objects") for name in mine[:600]),
        *(name.result_key("detect", "faces") for name in mine[:496]),
        *(f"{place}gate{rest}" for place, rest in (("init/", "/0a1b2c3d.mp4"), ("hls/", "/index.m3u8"))),
        *(f"state/{function}/gate.json" for function in ("segmenter", "package")),
    ]
    others = [key.replace("/gate", each) for each in ("/gate-2", "/gat", "/agate") for key in keys[::100]]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), [*keys, *others]))
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        if line.startswith("2500 "):
            store.put(keys[0], b"late")

    count = cameras.purge(store, "gate", show, quiet_s=2)

    assert len(keys) == 2500
    assert count == 2501
    assert shown[0] == "1000 objects of gate deleted"
    assert shown[-1] == "2501 objects of gate deleted"
    assert sorted(set(others)) == [each.key for each in store.list("") if each.size_bytes == 1]
    store.delete(others)


def test_folders_are_found_without_reading_what_is_in_them(store: S3Store) -> None:
    """Whatever sorts around the slash."""
    keys = ["a/1", "a/2", "a-b/1", "a0/1", "a.txt", "b/c/d/1", "b!/1", "z"]
    for key in keys:
        store.put(f"folders/{key}", b"")

    found = list(store.folders("folders/"))

    assert found == [f"folders/{name}/" for name in ("a-b", "a", "a0", "b!", "b")]
    store.delete([f"folders/{key}" for key in keys])
