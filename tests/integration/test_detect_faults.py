"""Each single fault, struck while detect has a chunk in flight: one result object and one message a chunk and model."""

import json
import os
import re
import shutil
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sluice import events, names
from sluice.cameras import encode
from sluice.contracts.camera import Camera, Work
from sluice.local import tools
from sluice.names import ChunkName
from tests.builders import a_chunk, a_chunk_name
from tests.integration.test_faults import frozen
from tests.services.line import Line, copy_manifests, eventually, needs_tools
from tests.services.server import freeze

pytestmark = [pytest.mark.line, pytest.mark.triton]

HEALED_S = 120
FRAMES = 10
"""That are sampled of the chunk: two seconds at five a second."""
_seq = count(1)


@pytest.fixture(scope="module")
def detecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The shipped line, Triton and sweeper and all."""
    needs_tools()
    if tools.find_triton() is None:
        pytest.fail("Triton is missing") if os.environ.get("CI") else pytest.skip("needs Triton: make tools")
    line = Line(tmp_path_factory.mktemp("detecting"), with_triton=True)
    copy_manifests(line, without=())
    try:
        line.start()
        configured(line, "warm")
        assert_one_of_each(line, "warm", [put(line, "warm")])
        yield line
    finally:
        line.stop()


def configured(line: Line, camera: str) -> None:
    """A camera that is looked at by `squares`; the segmenter has nothing to do for it."""
    wanted = Camera(name=camera, source="test://", paused=True, functions={"detect": (Work(model="squares"),)})
    line.store().put(names.camera_key(camera), encode(wanted))


def put(line: Line, camera: str) -> ChunkName:
    """Put one chunk in which something moves."""
    n = next(_seq)
    init, body = a_chunk()
    start_ms = int(time.time() * 1000) + n
    name = a_chunk_name(camera=camera, start_ms=start_ms, session=1, seq=n, activity="active", init=init)
    line.store().put(name.key, body, content_type="video/mp4")
    return name


def marks(line: Line, camera: str) -> list[str]:
    return [each.key for each in line.store().list(f"results/detect-squares/{camera}/")]


def messages(line: Line, camera: str) -> Counter[str]:
    return Counter(json.loads(payload)["chunk"]["key"] for payload in line.messages("detections", camera))


def assert_one_of_each(line: Line, camera: str, chunks: list[ChunkName], *, within_s: float = HEALED_S) -> None:
    """Exactly one result object and one stream message a chunk, and it stays so."""
    wanted = sorted(chunk.result_key("detect", "squares") for chunk in chunks)
    eventually("a result for each chunk", lambda: marks(line, camera) == wanted, within_s=within_s)
    eventually("nothing is in flight", line.is_quiet, within_s=HEALED_S)
    assert marks(line, camera) == wanted
    assert messages(line, camera) == Counter({chunk.key: 1 for chunk in chunks})


def inferences(line: Line) -> int:
    """Frames that Triton has looked at with `squares`; the runtime's own check adds one each ten seconds."""
    port = json.loads((line.state / "ports.json").read_text())["triton-metrics"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = re.search(r'^nv_inference_count\{model="squares"[^}]*\} (\d+)', answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


def announce(line: Line, chunk: ChunkName, *, late_s: float = 0) -> None:
    """Post the chunk's event to the Broker once more, as one that was held up does."""
    from datetime import UTC, datetime, timedelta

    from functions.sweep.marks import Stored
    from functions.sweep.rounds import chunk_stored

    event = chunk_stored(Stored(name=chunk, modified_ms=0), bucket="sluice", count=0)
    at = datetime.now(UTC) - timedelta(seconds=late_s)
    headers, body = events.to_http(type(event)(**{f: getattr(event, f) for f in event.__slots__} | {"time": at}))
    request = urllib.request.Request(line.runtime()["endpoints"]["brokers"]["default"], data=body, headers=headers)
    assert urllib.request.urlopen(request, timeout=5).status == 202


def ping(line: Line, function: str) -> None:
    """What its PingSource does each minute."""
    request = urllib.request.Request(line.runtime()["endpoints"]["services"][function], data=b"{}", method="POST")
    assert urllib.request.urlopen(request, timeout=50).status == 204


@pytest.fixture(scope="module", autouse=True)
def lost(detecting: Line) -> list[ChunkName]:
    """Two chunks of a camera; of the second, the announcements were purged on both lanes.

    Struck before all other faults, as the sweeper begins to miss it only when a minute is over.
    """
    configured(detecting, "lost")
    first = put(detecting, "lost")
    assert_one_of_each(detecting, "lost", [first])
    ping(detecting, "sweep")

    bridge = detecting.pid("bridge")
    freeze(bridge, group=True)
    second = put(detecting, "lost")
    eventually("both lanes announced it", lambda: announced(detecting) >= 2, within_s=15)
    purge(detecting, "SLUICE_INTAKE")
    os.killpg(bridge, signal.SIGKILL)  # it may have them in its hands already
    assert marks(detecting, "lost") == [first.result_key("detect", "squares")]
    return [first, second]


def test_a_triton_that_is_killed_loses_and_doubles_nothing(detecting: Line) -> None:
    """It starts again; what was in flight is tried again."""
    configured(detecting, "killed")
    chunks = [put(detecting, "killed") for _ in range(6)]

    os.kill(detecting.pid("triton"), signal.SIGKILL)
    chunks += [put(detecting, "killed") for _ in range(3)]

    assert_one_of_each(detecting, "killed", chunks)


def test_a_model_whose_process_was_killed_comes_back(detecting: Line) -> None:
    """Triton itself goes on to say that it is ready: only an inference shows it."""
    configured(detecting, "stub")
    stubs = [pid for pid in descendants(detecting.pid("triton")) if is_stub(pid, "squares")]
    assert stubs
    chunks = [put(detecting, "stub") for _ in range(3)]

    for pid in stubs:
        os.kill(pid, signal.SIGKILL)
    chunks += [put(detecting, "stub") for _ in range(3)]

    assert_one_of_each(detecting, "stub", chunks)


def descendants(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid:
            found += [int(stat.parent.name), *descendants(int(stat.parent.name))]
    return found


def is_stub(pid: int, model: str) -> bool:
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"triton_python_backend_stub" in command and model.encode() in command


@pytest.mark.parametrize("server", ["nats-server", "minio"])
def test_a_server_that_hangs_loses_and_doubles_nothing(detecting: Line, server: str) -> None:
    """With chunks in flight before it."""
    camera = f"hang-{server[:4]}"
    configured(detecting, camera)
    chunks = [put(detecting, camera) for _ in range(4)]

    with frozen(detecting.pid(server), 10):
        pass
    chunks += [put(detecting, camera) for _ in range(2)]

    assert_one_of_each(detecting, camera, chunks)


def test_an_event_that_was_lost_is_made_up_for_by_the_sweeper(detecting: Line, lost: list[ChunkName]) -> None:
    """Within two rounds, whatever else was struck meanwhile; below, inferences are counted."""
    assert_one_of_each(detecting, "lost", lost, within_s=150)


@contextmanager
def sabotaged(line: Line, fault: str, folder: Path) -> Iterator[None]:
    """Detect that dies, in place of the shipped one."""
    manifest = line.manifests / "detect.yaml"
    shipped, revision = manifest.read_text(), line.status()["services"]["detect"]["revision"]
    given = {"FAULT": fault, "FAULT_TIMES": "1", "FAULT_MARKS": str(folder)}
    given["SLUICE_DETECT_LATE_S"] = "0"  # else chunks that wait long are looked at less
    [indent] = re.findall(r"^( *)env:\n", shipped, re.MULTILINE)
    lines = "".join(f"{indent}  - name: {name}\n{indent}    value: {value!r}\n" for name, value in given.items())
    text = shipped.replace("functions.detect.app", "tests.data.functions.faulty_detect")
    manifest.write_text(text.replace(f"{indent}env:\n", f"{indent}env:\n{lines}"))
    eventually("the fault is in place", lambda: line.status()["services"]["detect"]["revision"] != revision)
    try:
        yield
    finally:
        revision = line.status()["services"]["detect"]["revision"]
        manifest.write_text(shipped)
        eventually("the fault is gone", lambda: line.status()["services"]["detect"]["revision"] != revision)


@pytest.mark.parametrize("step", ["die-after-get", "die-after-publish", "die-after-put"])
def test_a_death_after_any_step_is_one_redo_at_most(detecting: Line, step: str, tmp_path: Path) -> None:
    """Counted at Triton as well."""
    configured(detecting, step)

    with sabotaged(detecting, step, tmp_path):
        before = inferences(detecting)
        chunks = [put(detecting, step) for _ in range(3)]
        assert_one_of_each(detecting, step, chunks)
        frames = inferences(detecting) - before

    assert list(tmp_path.iterdir()), "the fault struck"
    assert 3 * FRAMES <= frames < 5 * FRAMES


def test_what_comes_again_or_late_or_out_of_order_adds_no_work(detecting: Line) -> None:
    """The result object answers: nothing is inferred, published or stored a second time."""
    configured(detecting, "again")
    chunks = [put(detecting, "again") for _ in range(3)]
    assert_one_of_each(detecting, "again", chunks)
    before = inferences(detecting)

    for chunk in reversed(chunks):
        announce(detecting, chunk)
        announce(detecting, chunk, late_s=600)

    assert_one_of_each(detecting, "again", chunks)
    assert inferences(detecting) - before < FRAMES


def test_a_chunk_that_is_gone_before_its_event_leaves_nothing(detecting: Line) -> None:
    """Neither a result nor a dead letter."""
    configured(detecting, "gone")
    bridge = detecting.pid("bridge")
    freeze(bridge, group=True)
    chunk = put(detecting, "gone")
    detecting.store().delete([chunk.key])
    os.killpg(bridge, signal.SIGCONT)

    eventually("nothing is in flight", detecting.is_quiet, within_s=HEALED_S)

    assert marks(detecting, "gone") == []
    assert "gone" not in detecting.run("deadletter", "list")


def test_a_wiped_nats_is_filled_again_from_the_results(detecting: Line) -> None:
    """The bucket is the memory: streams are made anew, what is missing is announced, `republish` gives the rest."""
    configured(detecting, "wiped")
    chunks = [put(detecting, "wiped") for _ in range(3)]
    assert_one_of_each(detecting, "wiped", chunks)
    nats = detecting.pid("nats-server")

    freeze(nats)
    shutil.rmtree(detecting.state / "data" / "nats")
    os.kill(nats, signal.SIGKILL)
    eventually("the streams are there again", detecting.is_quiet, within_s=HEALED_S)
    chunks.append(put(detecting, "wiped"))
    wanted = sorted(chunk.result_key("detect", "squares") for chunk in chunks)
    eventually("the new one is looked at", lambda: marks(detecting, "wiped") == wanted, within_s=150)
    told = detecting.run("republish", "--since", "1h", "--camera", "wiped", "--once")

    assert messages(detecting, "wiped") == Counter({chunk.key: 1 for chunk in chunks}), told


def announced(line: Line) -> int:
    return int(jetstream(line, "STREAM.INFO.SLUICE_INTAKE")["state"]["messages"])


def purge(line: Line, stream: str) -> None:
    assert jetstream(line, f"STREAM.PURGE.{stream}")["success"]


def jetstream(line: Line, request: str) -> dict[str, Any]:
    """An administrator's request to the server's own interface."""
    import asyncio

    import nats

    from sluice.preparation.secrets import NATS_PASSWORD, NATS_USER, load_or_create

    mine = load_or_create(line.state / "secrets").part("admin")

    async def ask() -> dict[str, Any]:
        client = await nats.connect(
            line.runtime()["endpoints"]["nats"], user=mine[NATS_USER], password=mine[NATS_PASSWORD]
        )
        try:
            answer = await client.request(f"$JS.API.{request}", b"", timeout=5)
        finally:
            await client.close()
        found: dict[str, Any] = json.loads(answer.data)
        return found

    return asyncio.run(ask())
