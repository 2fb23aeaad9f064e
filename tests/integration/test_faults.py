"""Each single fault, struck while a chunk is in flight: one result object and one message a chunk, no more, no less."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from sluice.errors import UnavailableError
from sluice.names import ChunkName
from tests.builders import a_chunk, a_chunk_name
from tests.services.line import Line, eventually
from tests.services.server import freeze

pytestmark = pytest.mark.line

OUTAGE_S = 15
HEALED_S = 120
_seq = count(1)


def put(line: Line, camera: str = "gate") -> ChunkName:
    """Put one opening chunk, trying again as the segmenter does; returns when the store acknowledged it."""
    n = next(_seq)
    init, body = a_chunk()
    name = a_chunk_name(
        camera=camera, start_ms=int(time.time() * 1000) + n, session=n, seq=n, activity="opening", init=init
    )
    store, deadline = line.store(), time.monotonic() + HEALED_S
    while True:
        try:
            store.put(name.key, body, content_type="video/mp4")
        except UnavailableError:
            assert time.monotonic() < deadline
            continue
        return name


def messages(line: Line, camera: str) -> Counter[str]:
    """How often each chunk stands on the result stream, by key."""
    return Counter(json.loads(payload)["chunk"]["key"] for payload in line.messages("health", camera))


def wait_until_announcing(line: Line) -> None:
    """A MinIO that starts takes chunks some 0.1 s before it announces any: docs/intake.md."""
    canaries = list[str]()

    def one_came() -> bool:
        canaries.append(put(line, "canary").result_key("inspect"))
        return not set(line.results("canary")).isdisjoint(canaries)

    eventually("the store announces again", one_came)


def assert_one_of_each(line: Line, camera: str, chunks: list[ChunkName]) -> None:
    """Exactly one result object and one stream message a chunk, and it stays so after the late copies came."""
    wanted = sorted(chunk.result_key("inspect") for chunk in chunks)
    eventually("a result for each chunk", lambda: line.results(camera) == wanted, within_s=HEALED_S)
    eventually("nothing is in flight", line.is_quiet, within_s=HEALED_S)
    assert line.results(camera) == wanted
    assert messages(line, camera) == Counter({chunk.key: 1 for chunk in chunks})


@contextmanager
def frozen(pid: int, seconds: float) -> Iterator[None]:
    """The process answers nothing for *seconds*, as a hung machine does; its connections stay open."""
    freeze(pid)
    thaw = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    thaw.start()
    try:
        yield
    finally:
        thaw.join()


def put_until_one_is_in_flight(line: Line, camera: str, *, at_least: int) -> list[ChunkName]:
    """So that the fault strikes while the last has no result, though the line was quicker than we with some."""
    chunks = [put(line, camera) for _ in range(at_least)]
    deadline = time.monotonic() + HEALED_S
    while chunks[-1].result_key("inspect") in line.results(camera):
        assert time.monotonic() < deadline, f"none of {len(chunks)} chunks was in flight"
        chunks.append(put(line, camera))
    return chunks


@pytest.mark.parametrize("server", ["nats-server", "minio"])
def test_a_server_that_answers_nothing_for_15_s_loses_and_doubles_nothing(line: Line, server: str) -> None:
    """Chunks put before, during and after the outage are all inspected once."""
    camera = f"frozen-{server.split('-', maxsplit=1)[0]}"
    early = put_until_one_is_in_flight(line, camera, at_least=1)

    with ThreadPoolExecutor(4) as pool, frozen(line.pid(server), OUTAGE_S):
        during = [pool.submit(put, line, camera) for _ in range(4)]
    chunks = [*early, *(each.result() for each in during), put(line, camera)]

    assert_one_of_each(line, camera, chunks)


@pytest.mark.parametrize("server", ["nats-server", "minio", "bridge"])
def test_a_killed_server_loses_and_doubles_nothing(line: Line, server: str) -> None:
    """SIGKILL with events pending; the runtime starts it again."""
    camera = f"killed-{server.split('-', maxsplit=1)[0]}"
    chunks = put_until_one_is_in_flight(line, camera, at_least=8)

    os.kill(line.pid(server), signal.SIGKILL)
    if server == "minio":
        wait_until_announcing(line)
    chunks += [put(line, camera) for _ in range(4)]

    assert_one_of_each(line, camera, chunks)


@contextmanager
def sabotaged(line: Line, fault: str, marks: Path, *, times: int = 1, retry: int | None = None) -> Iterator[None]:
    """Inspect with a fault, in place of the shipped one."""
    manifest, trigger = line.manifests / "inspect.yaml", line.manifests / "chunk-stored-to-inspect.yaml"
    shipped, delivered = manifest.read_text(), trigger.read_text()
    environment = {"FAULT": fault, "FAULT_TIMES": str(times), "FAULT_MARKS": str(marks)}
    lines = "".join(f"- name: {name}\n  value: {value!r}\n" for name, value in environment.items())
    revision = line.status()["services"]["inspect"]["revision"]
    indent = re.search(r"^( *)envFrom:", shipped, re.MULTILINE)
    assert indent
    variables = "".join(f"{indent[1]}{each}\n" for each in ("env:", *lines.splitlines()))
    text = re.sub(r"^ *env:\n(?: *- name: .*\n +value: .*\n)+", "", shipped, flags=re.MULTILINE)
    concurrency = re.search(r"SLUICE_CONCURRENCY\n +value: (.*)\n", shipped)
    if concurrency:
        variables += f"{indent[1]}- name: SLUICE_CONCURRENCY\n{indent[1]}  value: {concurrency[1]}\n"
    text = text.replace("functions.inspect.app", "tests.data.functions.faulty")
    manifest.write_text(text.replace(indent[0], variables + indent[0], 1))
    if retry is not None:
        delivery = f"  delivery:\n    retry: {retry}\n    backoffPolicy: exponential\n    backoffDelay: PT0.2S\n"
        trigger.write_text(delivered.replace("spec:\n", "spec:\n" + delivery, 1))
    eventually("the fault is in place", lambda: line.status()["services"]["inspect"]["revision"] != revision)
    try:
        yield
    finally:
        revision = line.status()["services"]["inspect"]["revision"]
        manifest.write_text(shipped)
        trigger.write_text(delivered)
        eventually("the fault is gone", lambda: line.status()["services"]["inspect"]["revision"] != revision)


@pytest.mark.parametrize("step", ["die-after-get", "die-after-publish", "die-after-put"])
def test_a_function_that_dies_after_any_step_is_done_again_under_the_same_ids(
    line: Line, step: str, tmp_path: Path
) -> None:
    """The result order of once.py leaves no step at which death loses or doubles."""
    camera = step

    with sabotaged(line, step, tmp_path):
        chunks = [put(line, camera) for _ in range(3)]
        assert_one_of_each(line, camera, chunks)

    assert list(tmp_path.iterdir()), "the fault struck"


@pytest.mark.parametrize("fault", ["unavailable", "text"])
def test_three_failures_and_then_success_is_one_result(line: Line, fault: str, tmp_path: Path) -> None:
    """503 three times; a 200 with a text body counts as a failed delivery too."""
    with sabotaged(line, fault, tmp_path, times=3):
        chunks = [put(line, fault)]
        assert_one_of_each(line, fault, chunks)

    assert len(list(tmp_path.iterdir())) == 3


def test_an_event_that_always_fails_is_one_dead_letter_that_can_be_replayed(line: Line, tmp_path: Path) -> None:
    """The dead letter says why; replayed after the function was mended, it gives its one result."""
    camera = "poisoned"
    with sabotaged(line, "bug", tmp_path, times=100, retry=2):
        chunk = put(line, camera)
        letters = eventually("a dead letter", lambda: line.run("deadletter", "list").strip(), within_s=30)
        shown = line.run("deadletter", "show", letters.splitlines()[-1].split()[0])

    assert "ZeroDivisionError" in shown
    assert line.results(camera) == []

    line.run("deadletter", "replay", "--all")

    assert_one_of_each(line, camera, [chunk])
    assert "chunk" not in line.run("deadletter", "list")
