"""The whole line: `sluice up` as a process, on copies of the shipped manifests that a test may change."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sluice import names
from sluice.bus import NatsBus
from sluice.local import tools
from sluice.preparation.secrets import load_or_create
from sluice.settings import BusSettings, StoreSettings
from sluice.store import S3Store
from sluice.topology import RESULTS, Consumer

ROOT = Path(__file__).parent.parent.parent
READY_S = 90


def eventually(what: str, holds: Callable[[], Any], *, within_s: float = 60, every_s: float = 0.05) -> Any:
    """The first true answer of *holds*; fails, naming *what*, when none comes in time."""
    deadline = time.monotonic() + within_s
    while True:
        answer = holds()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within_s:g} s: {what}; last answer {answer!r}")
        time.sleep(every_s)


@dataclass
class Line:
    """A running local runtime with a state folder and manifests of its own."""

    home: Path
    with_triton: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.home / "state"

    @property
    def manifests(self) -> Path:
        """Copies of the shipped manifests; changes take effect while it runs."""
        return self.home / "manifests"

    def command(self, *arguments: str) -> list[str]:
        """The sluice command against this line."""
        return [sys.executable, "-m", "sluice.cli.main", arguments[0], "--state", str(self.state), *arguments[1:]]

    def run(self, *arguments: str) -> str:
        """The output of a sluice command that has to succeed."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command("up", *([] if self.with_triton else ["--no-triton"]), "--manifests", str(self.manifests)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        eventually("sluice up is ready", self._is_ready, within_s=READY_S)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "up.log").read_text()[-3000:]
        try:
            runtime = self.runtime()
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return bool(runtime.get("ready")) and runtime["pid"] == self.process.pid

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def runtime(self) -> dict[str, Any]:
        """What it wrote down of itself."""
        found: dict[str, Any] = json.loads((self.state / "runtime.json").read_text())
        return found

    def status(self) -> dict[str, Any]:
        """What `sluice status --json` says."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def pid(self, part: str) -> int:
        """The process of a server or Deployment."""
        pid: int = self.status()["parts"][part]["pid"]
        return pid

    def instances(self, function: str) -> list[int]:
        """The processes of a ksvc; none before its manifest was read."""
        pids: list[int] = self.status()["services"].get(function, {"instances": []})["instances"]
        return pids

    def is_quiet(self) -> bool:
        """True when no announcement, event or delivery is under way anywhere; False also while NATS cannot tell."""
        try:
            return bool(self.status()["pending"] == 0)
        except AssertionError:
            return False

    def results(self, camera: str) -> list[str]:
        """Keys of what inspect said of a camera's chunks."""
        return [each.key for each in self.store().list(f"results/inspect/{camera}/")]

    def messages(self, kind: str, camera: str) -> list[bytes]:
        """Every message of a kind and camera on the result stream, from its beginning."""
        bus = self.bus()
        name = f"reader-{time.monotonic_ns()}"
        reader = Consumer(stream=RESULTS.name, name=name, filter_subject=names.subject(kind, camera), inactive_s=60)
        bus.ensure([], [reader], [])
        subscription, found = bus.subscribe(reader), list[bytes]()
        while fetched := subscription.fetch(200, wait_s=0.5):
            for message in fetched:
                found.append(message.payload)
                message.ack()
        bus.close()
        return found

    def store(self) -> S3Store:
        """The bucket, as its administrator."""
        user, password = load_or_create(self.state / "secrets").store_root
        url = self.runtime()["endpoints"]["s3"]
        return S3Store(StoreSettings(url=url, access_key=user, secret_key=password))

    def bus(self) -> NatsBus:
        """NATS, as its administrator."""
        mine = load_or_create(self.state / "secrets").part("admin")
        url = self.runtime()["endpoints"]["nats"]
        return NatsBus(BusSettings(url=url, user=mine["SLUICE_NATS_USER"], password=mine["SLUICE_NATS_PASSWORD"]))


def copy_manifests(line: Line, *, without: tuple[str, ...] = ("detect", "package", "sweep")) -> None:
    """The shipped manifests, as files that may be changed; *without* those of some functions.

    What needs Triton is left out unless it is what the test is about: its events would be pending for ever.
    """
    line.manifests.mkdir(parents=True)
    for source in (*(ROOT / "infra/knative/base").glob("*.yaml"), *(ROOT / "triggers").glob("*.yaml")):
        if source.stem != "kustomization" and source.stem.rpartition("-")[2] not in without:
            shutil.copy(source, line.manifests)


def needs_tools() -> None:
    """Skip by name on a laptop, fail in CI."""
    wanted = {"minio": tools.find_minio(), "nats-server": tools.find_nats_server()}
    if missing := ", ".join(name for name, found in wanted.items() if found is None):
        reason = f"the line needs {missing}: make tools"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A running line, one a test module."""
    needs_tools()
    line = Line(tmp_path_factory.mktemp("line"))
    copy_manifests(line)
    try:
        line.start()
        yield line
    finally:
        line.stop()
