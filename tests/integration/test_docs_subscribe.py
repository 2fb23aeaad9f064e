"""docs/subscribe.md: every program in it is run against the line, with a user that `sluice user add` made."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sluice import events, names
from sluice.local.tools import tools_home
from tests.integration.test_subscribing import GOLDENS
from tests.services.line import ROOT, Line, eventually

pytestmark = pytest.mark.line

PAGE = (ROOT / "docs" / "subscribe.md").read_text("utf-8")
GO_CLIENT = "github.com/nats-io/nats.go@v1.47.0"
JS_CLIENTS = ("@nats-io/nats-core@3", "ws@8")
_NUMBERS = itertools.count(1_000_000)


def block(language: str, having: str) -> str:
    """The one program of the page in that language that has a text in it."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if having in each]
    return found


def put(line: Line, sequence: int) -> str:
    """A detection of camera gate; returns what a reader prints of it."""
    golden = (GOLDENS / "objects.detected.v1.json").read_bytes()
    event = events.from_structured(golden, events.CONTRACTS["dev.sluice.objects.detected.v1"])
    event = replace(event, id=f"id-{sequence}", extensions={**event.extensions, "sequence": f"{sequence:010d}"})
    headers, payload = events.to_nats(event)
    bus = line.bus()
    bus.publish(names.subject("detections", "gate"), payload, message_id=event.id, headers=headers)
    bus.close()
    return f"gate {sequence:010d} "


def environment(line: Line, name: str) -> dict[str, str]:
    """What the page tells to export, for a new user."""
    said = line.run("user", "add", name, "--camera", "gate", "--kind", "detections", "--since", "0s")
    shown = dict(each.split(maxsplit=1) for each in said.splitlines())
    endpoints = line.runtime()["endpoints"]
    return {
        **os.environ,
        "NATS_URL": endpoints["nats"],
        "NATS_WS_URL": endpoints["nats-ws"],
        "NATS_USER": shown["user"],
        "NATS_PASSWORD": shown["password"].split()[0],
    }


@contextmanager
def running(command: list[str], log: Path, env: dict[str, str], *, folder: Path | None = None) -> Iterator[None]:
    """A program that ends with its test."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=env, cwd=folder or log.parent, start_new_session=True
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tool(name: str) -> str:
    """Its path; these are the reader's tools, not ours, so that one is missing is no failure anywhere."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"docs/subscribe.md: {name} is missing")
    return found


def fetched(command: list[str], folder: Path, what: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"docs/subscribe.md: {what} cannot be fetched: {done.stderr[-300:]}")


def gets_missed_and_live(line: Line, command: list[str], log: Path, env: dict[str, str], folder: Path) -> None:
    """What was there before it ran, what comes while it runs, and each once."""
    missed = put(line, next(_NUMBERS))
    with running(command, log, env, folder=folder):
        eventually("what was missed is printed", lambda: missed in log.read_text())
        live = put(line, next(_NUMBERS))
        eventually("what comes is printed", lambda: live in log.read_text())

    assert [log.read_text().count(each) for each in (missed, live)] == [1, 1]


def test_python(line: Line, tmp_path: Path) -> None:
    """As it stands on the page."""
    (tmp_path / "reader.py").write_text(block("python", "pull_subscribe_bind"))
    env = environment(line, "python")

    gets_missed_and_live(line, [sys.executable, "reader.py"], tmp_path / "log", env, tmp_path)


def test_go(line: Line, tmp_path: Path) -> None:
    """As it stands on the page, with the client library that it names."""
    go = tool("go")
    (tmp_path / "main.go").write_text(block("go", "jetstream.New"))
    (tmp_path / "go.mod").write_text("module reader\n\ngo 1.24\n")
    fetched([go, "get", GO_CLIENT], tmp_path, GO_CLIENT)
    subprocess.run([go, "build", "-o", "reader", "."], cwd=tmp_path, timeout=300, check=True)
    env = environment(line, "go")

    gets_missed_and_live(line, [str(tmp_path / "reader")], tmp_path / "log", env, tmp_path)


def test_javascript_over_websocket(line: Line, tmp_path: Path) -> None:
    """As it stands on the page: live, and each once though it comes twice."""
    node, npm = tool("node"), tool("npm")
    folder = tools_home() / "subscribe-js"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "reader.mjs").write_text(block("js", "wsconnect"))
    if not (folder / "node_modules" / "ws").exists():
        fetched([npm, "install", "--no-audit", "--no-fund", *JS_CLIENTS], folder, "the JavaScript client")
    log = tmp_path / "log"
    seen = list[str]()

    def arrives() -> bool:
        # It is live: what comes before it listens is none of its business.
        seen.append(put(line, 2_000_000 + len(seen)))
        return any(each in log.read_text() for each in seen)

    with running([node, str(folder / "reader.mjs")], log, environment(line, "js"), folder=folder):
        eventually("an event is printed", arrives)

    assert all(log.read_text().count(each) <= 1 for each in seen), log.read_text()


def test_the_nats_command(line: Line, tmp_path: Path) -> None:
    """Live, and what was missed."""
    tool("nats")
    env = environment(line, "cli")
    log = tmp_path / "log"
    seen = list[str]()

    def arrives() -> bool:
        seen.append(put(line, 3_000_000 + len(seen)))
        return "ce-sequence: 0003" in log.read_text().lower()

    with running(["sh", "-c", block("sh", "subscribe sluice")], log, env):
        eventually("an event is printed", arrives)
    missed = subprocess.run(
        ["sh", "-c", block("sh", "consumer next")], env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert "ce-sequence: 0003000000" in missed.stdout.lower() + missed.stderr.lower()


def test_the_commands_of_the_page_are_ours() -> None:
    """Every `sluice` line on it is one that the parser takes."""
    from sluice.cli.main import COMMANDS

    named = set(re.findall(r"^sluice (\w+)", PAGE, re.MULTILINE)) | set(re.findall(r"`sluice (\w+)", PAGE))

    assert named <= set(COMMANDS)
    assert {"events", "user", "republish"} <= named
