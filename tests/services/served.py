"""A gateway on fakes behind a real port, for players."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from flask import Flask

from tests.viewers import Gateway


class _Server(ThreadingHTTPServer):
    app: Flask


class _Handler(BaseHTTPRequestHandler):
    """Keeps connections, as gunicorn does and werkzeug's server does not: some faults of players show only then."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """What the app answers."""
        answer = self.server.app.test_client().get(self.path, headers=dict(self.headers), buffered=True)
        self.send_response(answer.status_code)
        for name, value in answer.headers:
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """The address under which a viewer of every camera asks, with the token in it."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.app = gateway.app
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/t/{gateway.viewer().secret}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
