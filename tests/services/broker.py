"""A Broker of a few lines: it takes events and passes them to nobody."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class BrokerStub:
    """Answers as it is told, and keeps what it was sent."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests; 202 when none is left."""
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers, with small letters, and bodies."""
    times: list[float] = field(default_factory=list)
    """When each came, on the clock of time.perf_counter."""
    connections: set[Any] = field(default_factory=set)


@contextmanager
def broker_stub() -> Iterator[BrokerStub]:
    """One that runs, on a loopback port of its own."""
    stub = BrokerStub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    stub.url = f"http://127.0.0.1:{server.server_port}/default"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(stub: BrokerStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30  # a connection that its client forgot ends its thread

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            stub.times.append(time.perf_counter())
            stub.connections.add(self.client_address)
            stub.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status = stub.statuses.pop(0) if stub.statuses else 202
            answer = b"" if status < 300 else b"told to"
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *_args: Any) -> None:  # noqa: A002 (the base class names it)
            """Quiet."""

    return Handler
