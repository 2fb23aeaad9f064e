"""A gateway as a real process, over a real store and NATS, as the user that it has there."""

import http.client
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluice.local.program import Program, free_port, kill, start, stop, wait_ready
from tests.services.prepared import BUCKET, PreparedServers

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it said, read to the end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGateway:
    """The process; a token is shown in the path."""

    port: int
    pid: int
    log: Path

    def ask(self, path: str, *, secret: str = "", method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """The answer over a connection of its own; a header's dashes are written as underscores."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, f"/t/{secret}{path}" if secret else path, body=body or None, headers=named)
            answer = connection.getresponse()
            return Answer(status=answer.status, headers=dict(answer.headers), body=answer.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self.ask("/health/readiness").status == 204
        except OSError:
            return False


@contextmanager
def running_gateway(servers: PreparedServers, home: Path, **settings: str) -> Iterator[RunningGateway]:
    """Start it, with *settings* by the variables' names, and end it."""
    port = free_port()
    made = RunningGateway(port=port, pid=0, log=home / "gateway.log")
    program = Program(
        name="gateway",
        command=(sys.executable, "-m", "sluice.serving", "functions.gateway.app"),
        log=made.log,
        ready=made.is_ready,
        directory=ROOT,
        environment={
            "PORT": str(port),
            "SLUICE_HOST": "127.0.0.1",
            "SLUICE_CONCURRENCY": "80",
            "SLUICE_S3_URL": servers.minio.url,
            "SLUICE_S3_REGION": servers.minio.region,
            "SLUICE_BUCKET": BUCKET,
            "SLUICE_NATS_URL": servers.nats.url,
            **servers.secrets.part("gateway"),
            **settings,
        },
    )
    process = start(program)
    try:
        wait_ready(program, process, timeout_s=30)
        yield RunningGateway(port=port, pid=process.pid, log=made.log)
        stop(process, grace_s=40)
    finally:
        kill(process)
