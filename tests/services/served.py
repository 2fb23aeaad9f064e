"""A gateway on fakes behind a real port, for players."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.viewers import Gateway


class _Silent(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(gateway: Gateway) -> Iterator[str]:
    """The address under which a viewer of every camera asks, with the token in it."""
    server = make_server("127.0.0.1", 0, gateway.app, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/t/{gateway.viewer().secret}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
