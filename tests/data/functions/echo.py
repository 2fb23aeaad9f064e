"""A function of the standard library alone: notes each event in JOURNAL and answers as ANSWERS says.

ANSWERS is a list of statuses by commas, one a request, the last one for ever; "text" is a 200 with a text body,
"reply" a 200 with an event of type REPLY, "hang" waits until RELEASE exists and then is a 204.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

JOURNAL = Path(os.environ["JOURNAL"])
ANSWERS = os.environ.get("ANSWERS", "204").split(",")


class Echo(BaseHTTPRequestHandler):
    """Answers one event."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Readiness."""
        self._answer(204)

    def do_POST(self) -> None:
        """An event."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        entry = {name[3:]: value for name, value in self.headers.items() if name.startswith("ce-")}
        with JOURNAL.open("a") as journal:
            journal.write(json.dumps(entry | {"data": body.decode(), "pid": os.getpid(), "at": time.time()}) + "\n")
        count = len(JOURNAL.read_text().splitlines())
        answer = ANSWERS[min(count, len(ANSWERS)) - 1]
        if answer == "reply":
            reply = {
                "ce-specversion": "1.0",
                "ce-id": entry["id"],
                "ce-source": "/echo",
                "ce-type": os.environ["REPLY"],
            }
            self._answer(200, b"{}", {**reply, "content-type": "application/json"})
        elif answer == "text":
            self._answer(200, b"ok", {"content-type": "text/plain"})
        elif answer == "hang":
            while not Path(os.environ["RELEASE"]).exists():
                time.sleep(0.05)
            self._answer(204)
        else:
            self._answer(int(answer), b"" if answer == "204" else f"answer {answer}".encode())

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """The journal is enough."""


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Echo).serve_forever()
