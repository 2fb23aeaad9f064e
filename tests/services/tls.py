"""TLS before a server that speaks none: a forwarder with a certificate of its own."""

import contextlib
import selectors
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Self-signed, for 127.0.0.1."""

    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """A new one."""
    made = Certificate(certificate=folder / "certificate.pem", key=folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return made


class _Forwarder:
    def __init__(self, port: int, certificate: Certificate) -> None:
        self._target = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_S)
        self.port: int = self._listener.getsockname()[1]

    def start(self) -> None:
        self._begin(self._accept)

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _begin(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(5)
        with contextlib.suppress(OSError), client:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            with server, self._context.wrap_socket(client, server_side=True) as secured:
                self._pump(secured, server)

    def _pump(self, secured: ssl.SSLSocket, server: socket.socket) -> None:
        others = {secured: server, server: secured}
        with selectors.DefaultSelector() as arrivals:
            for source in others:
                arrivals.register(source, selectors.EVENT_READ, data=source)
            while not self._ended.is_set():
                # What TLS has decrypted already is not seen by the selector.
                ready = [secured] if secured.pending() else [key.data for key, _ in arrivals.select(POLL_S)]
                for source in ready:
                    data = source.recv(65_536)
                    if not data:
                        return
                    others[source].sendall(data)


@contextlib.contextmanager
def tls_before(port: int, certificate: Certificate) -> Iterator[int]:
    """The port at which what listens on *port* is reached through TLS."""
    forwarder = _Forwarder(port, certificate)
    forwarder.start()
    try:
        yield forwarder.port
    finally:
        forwarder.stop()
