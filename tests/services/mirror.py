"""A bucket over HTTP, as the simplest player wants it: keys are paths, ranges are understood."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sluice.errors import ObjectNotFoundError
from sluice.store import ObjectStore


@contextmanager
def mirror(store: ObjectStore) -> Iterator[str]:
    """Serve it until the end of the block; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            try:
                found = store.get(self.path.lstrip("/"))
            except ObjectNotFoundError:
                self.send_error(404)
                return
            size = len(found.body)
            first, last = (int(asked[1]), min(int(asked[2] or size), size - 1)) if asked else (0, size - 1)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(found.body[first : last + 1])

        def handle(self) -> None:
            with suppress(ConnectionError):  # a player that has seen enough
                super().handle()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
