"""The real process: gunicorn as `python -m sluice.serving` starts it, around a function that waits for a file to go."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice import events
from sluice.lingering import LINGER_S
from sluice.local.program import Program, free_port, kill, start, wait_ready
from tests.builders import a_chunk_stored
from tests.services.usage import children

ROOT = Path(__file__).parent.parent.parent
HEADERS, BODY = events.to_http(a_chunk_stored())
CONCURRENCY = 2


def eventually(what: str, holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"not within 15 s: {what}")
        time.sleep(0.01)


@dataclass
class Slow:
    """The process, and the files by which it is driven."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def gate(self) -> Path:
        """It works while this is there."""
        return self.home / "gate"

    @property
    def closed(self) -> Path:
        """There once it was closed."""
        return self.home / "closed"

    def request(self, method: str, path: str, *, body: Any = None, headers: Any = None) -> tuple[int, bytes]:
        """The answer over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self) -> int:
        """The status of one event."""
        return self.request("POST", "/", body=BODY, headers=HEADERS)[0]

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self.request("GET", "/health/readiness")[0] == 204
        except OSError:
            return False

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; fails for a line that is no JSON."""
        return [json.loads(line) for line in (self.home / "log").read_text().splitlines()]

    @contextmanager
    def at_work(self, count: int) -> Iterator[list[int]]:
        """*count* events inside the handler; their statuses once the block is left and the gate is gone."""
        self.gate.touch()
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(self.post())) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            eventually(f"{count} at work", lambda: f'sluice_in_flight{{part="slow"}} {count}.0' in self.metrics())
            yield answers
        finally:
            self.gate.unlink(missing_ok=True)
            for thread in threads:
                thread.join(15)

    def metrics(self) -> str:
        """Its metrics as text."""
        return self.request("GET", "/metrics")[1].decode()


def program(home: Path, port: int, module: str, ready: Callable[[], bool], **settings: str) -> Program:
    return Program(
        name="slow",
        command=(sys.executable, "-m", "sluice.serving", module),
        log=home / "log",
        ready=ready,
        directory=ROOT,
        environment={
            "PORT": str(port),
            "SLUICE_HOST": "127.0.0.1",
            "SLUICE_CONCURRENCY": str(CONCURRENCY),
            "HOME": str(home),
            "GATE": str(home / "gate"),
            "ENTERED": str(home / "entered"),
            "CLOSED": str(home / "closed"),
            **settings,
        },
    )


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    """A function that answers at once while there is no gate."""
    port = free_port()
    serving: list[Slow] = []
    made = program(tmp_path, port, "tests.data.functions.slow", lambda: bool(serving) and serving[0].is_ready())
    process = start(made)
    serving.append(Slow(home=tmp_path, port=port, process=process))
    try:
        wait_ready(made, process)
        yield serving[0]
    finally:
        kill(process)


def test_a_slow_handler_never_blocks_health(slow: Slow) -> None:
    """All places taken: health answers, one event more is told to come later, and all that run are answered."""
    with slow.at_work(CONCURRENCY) as answers:
        began = time.monotonic()
        health = {slow.request("GET", f"/health/{kind}")[0] for kind in ("liveness", "readiness") for _ in range(10)}
        busy = {slow.post() for _ in range(5)}
        took = time.monotonic() - began

    assert health == {204}
    assert busy == {503}
    assert took < 5
    assert answers == [204] * CONCURRENCY
    assert slow.post() == 204


def test_sigterm_lets_the_running_event_end_and_then_closes(slow: Slow) -> None:
    """Drain: an answer to what runs, the close callables after it, status 0."""
    with slow.at_work(1) as answers:
        slow.process.send_signal(signal.SIGTERM)
        eventually("it was told", lambda: any("term" in line["message"] for line in slow.lines()))
        closed_early = slow.closed.exists()

    assert not closed_early
    assert answers == [204]
    assert slow.process.wait(20) == 0
    assert slow.closed.exists()


def lingering(port: int, request: bytes) -> socket.socket:
    """A client that was answered, does not close, and goes on sending."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=15)
    connection.sendall(request)
    assert connection.recv(4096).startswith(b"HTTP/1.")
    connection.sendall(b"x" * 1000)
    return connection


def has_ended(connection: socket.socket) -> bool:
    """Whether nothing more comes; on a machine that was busy for longer than the server lingers, by a reset."""
    try:
        return connection.recv(4096) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(b"GET /health/readiness HTTP/1.0\r\n\r\n", id="old"),
        pytest.param(b"GET /health/readiness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", id="closing"),
        pytest.param(b"nonsense\r\n\r\n", id="nonsense"),
    ],
)
def test_clients_that_do_not_close_stop_nobody(slow: Slow, request_text: bytes) -> None:
    """The thread that accepts waits for none of them; a while later they are closed, and the process is well."""
    began = time.monotonic()
    connections = [lingering(slow.port, request_text) for _ in range(8)]
    health = slow.request("GET", "/health/readiness")[0]
    took = time.monotonic() - began

    assert health == 204
    # One after the other they would take LINGER_S each.
    assert took < LINGER_S * len(connections) / 2
    assert all(has_ended(each) for each in connections)
    eventually("it has closed them", lambda: sockets_of(slow.process.pid) <= 2)
    for each in connections:
        each.close()
    assert slow.post() == 204


def test_a_client_that_closes_late_is_let_go(slow: Slow) -> None:
    """Many of them leave no connection and no descriptor behind."""
    request = b"GET /health/readiness HTTP/1.0\r\n\r\n"
    for _ in range(3):
        for each in [lingering(slow.port, request) for _ in range(20)]:
            each.close()

    eventually("its sockets are closed", lambda: sockets_of(slow.process.pid) <= 2)


def test_requests_that_never_end_stop_nobody_for_long(slow: Slow) -> None:
    """Half a line on every thread that is free: seconds later there is an answer again, and who works goes on."""
    with slow.at_work(1) as answers:
        halves = [socket.create_connection(("127.0.0.1", slow.port), timeout=15) for _ in range(CONCURRENCY + 1)]
        for each in halves:
            each.sendall(b"POST / HTTP/1.1\r\nce-id: ")
        health = slow.request("GET", "/health/readiness")[0]
        ends = [each.recv(4096) for each in halves]
        for each in halves:
            each.close()

    assert health == 204
    assert ends == [b""] * len(halves)
    assert answers == [204]
    assert not [line for line in slow.lines() if line["level"] == "error"]


def test_a_client_does_not_say_where_the_app_is_mounted(slow: Slow) -> None:
    """A proxy on this host hands on what it is sent."""
    moved = {"SCRIPT_NAME": "/health", "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}

    assert slow.request("GET", "/health/readiness", headers=moved)[0] == 204


def sockets_of(pid: int) -> int:
    """Open ones of the process that has most."""
    most = 0
    for each in (pid, *children(pid)):
        most = max(most, sum(is_socket(link) for link in Path(f"/proc/{each}/fd").iterdir()))
    return most


def is_socket(descriptor: Path) -> bool:
    with suppress(FileNotFoundError):  # closed meanwhile
        return str(descriptor.readlink()).startswith("socket:")
    return False


def flooded(port: int, head: bytes, filler: bytes, total: int) -> bytes:
    """The answer to *head* and *total* bytes of *filler*; empty when the connection was cut instead."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        try:
            connection.sendall(head)
            for _ in range(total // len(filler)):
                connection.sendall(filler)
            connection.sendall(b"\r\n")
            return connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param(b"ce-note: " + b"x" * 5000 + b"\r\n", id="many"),
        pytest.param(b"x" * 5000, id="one"),
    ],
)
def test_megabytes_of_headers_are_refused_and_the_process_is_well(slow: Slow, filler: bytes) -> None:
    """4xx or a cut connection, never a crash and never the memory."""
    head = b"POST / HTTP/1.1\r\nHost: slow\r\nContent-Length: 0\r\nce-id: "
    head += b"1\r\n" if filler.startswith(b"ce-") else b""

    answers = [flooded(slow.port, head, filler, 5_000_000) for _ in range(5)]

    assert all(answer == b"" or answer.startswith(b"HTTP/1.1 4") for answer in answers)
    assert slow.process.poll() is None
    assert slow.post() == 204
    assert memory_mib(slow.port, slow.process.pid) < 150


def memory_mib(port: int, pid: int) -> float:
    """Resident memory of the process and its worker."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(pid) in (fields["Pid"].strip(), fields["PPid"].strip()):
            found = max(found, int(fields["VmRSS"].split()[0]))
    return found / 1024


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_process_is_well(slow: Slow, chunked: bool) -> None:
    """413 in JSON, or a cut connection, whether the length is told or not."""
    body = b" " * 8_000_000

    try:
        status, answer = slow.request("POST", "/", body=iter([body]) if chunked else body, headers=HEADERS)
    except (BrokenPipeError, ConnectionResetError):
        status, answer = 413, b'{"error": "cut"}'

    assert status == 413
    assert json.loads(answer)["error"]
    assert slow.post() == 204


def test_a_broken_chunk_is_the_senders_fault(slow: Slow) -> None:
    """400, not 500: it would be tried again for ever."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    text = f"POST / HTTP/1.1\r\nHost: slow\r\n{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"

    with socket.create_connection(("127.0.0.1", slow.port), timeout=15) as connection:
        connection.sendall(text.encode())
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 400")
    assert slow.post() == 204


def test_every_line_is_json_and_names_the_part(slow: Slow) -> None:
    """Those of gunicorn too; no control socket is left behind."""
    assert slow.post() == 204

    slow.process.send_signal(signal.SIGTERM)

    assert slow.process.wait(20) == 0
    assert {line["part"] for line in slow.lines()} == {"slow"}
    assert any(line.get("event") and line["duration_ms"] >= 0 for line in slow.lines())
    assert not (slow.home / ".gunicorn").exists()


def test_its_own_metrics_tell_the_cold_start(slow: Slow) -> None:
    """Counted from the start of the interpreter, before gunicorn forked."""
    slow.post()

    starts = {
        line.split('to="')[1].split('"')[0]: float(line.split()[-1])
        for line in slow.metrics().splitlines()
        if line.startswith("sluice_cold_start_seconds{")
    }

    assert set(starts) == {"ready", "first-answer"}
    assert 0.05 < starts["ready"] <= starts["first-answer"] < 30


def test_missing_settings_end_it_with_status_1_and_all_their_names(tmp_path: Path) -> None:
    """Whether they are the server's or the function's."""
    for module, setting in (("tests.data.functions.needy", {}), ("tests.data.functions.slow", {"PORT": "eighty"})):
        made = program(tmp_path, free_port(), module, lambda: False, **setting)
        process = start(made)

        try:
            status = process.wait(20)
        finally:
            kill(process)

        assert status == 1
    needy, port = [line for line in made.log.read_text().splitlines() if "cannot start" in line]
    assert "SLUICE_S3_URL" in needy
    assert "SLUICE_S3_SECRET_KEY" in needy
    assert "PORT: expected int, found 'eighty'" in port
