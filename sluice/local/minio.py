"""The MinIO server that the local runtime and the tests start, and where it announces new objects."""

import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sluice.local.program import Program

READY_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsTarget:
    """A JetStream subject that a bucket's notification rule can name, as arn:minio:sqs:<region>:<id>:nats."""

    id: str
    address: str
    """host:port, without a scheme."""
    subject: str
    user: str
    password: str = field(repr=False)
    queue: bool
    """True: announcements wait on disk until JetStream has them, and come up to 3 s late. False: at once, or never."""


def minio_program(
    *,
    binary: Path,
    data: Path,
    port: int,
    log: Path,
    root_user: str,
    root_password: str,
    region: str,
    queue_dir: Path,
    notify: Sequence[NatsTarget] = (),
    certificates: Path | None = None,
) -> Program:
    """The server on loopback; *certificates* is a folder with public.crt and private.key, for https."""
    # Without a folder of its own it would take the user's ~/.minio/certs, and speak TLS if there are any.
    certs = certificates or data.with_name(f"{data.name}-certs")
    environment = {
        "MINIO_ROOT_USER": root_user,
        "MINIO_ROOT_PASSWORD": root_password,
        "MINIO_SITE_REGION": region,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    for target in notify:
        environment |= _target(target, queue_dir)
    address = f"127.0.0.1:{port}"
    return Program(
        name="minio",
        command=(str(binary), "server", "--quiet", "--address", address, "--certs-dir", str(certs), str(data)),
        log=log,
        environment=environment,
        ready=lambda: _writable(port, secure=certificates is not None),
    )


def _target(target: NatsTarget, queue_dir: Path) -> Mapping[str, str]:
    values = {
        "ENABLE": "on",
        "ADDRESS": target.address,
        "SUBJECT": target.subject,
        "USERNAME": target.user,
        "PASSWORD": target.password,
        "JETSTREAM": "on",
    }
    if target.queue:
        values["QUEUE_DIR"] = str(queue_dir.absolute() / target.id)
    return {f"MINIO_NOTIFY_NATS_{name}_{target.id}": value for name, value in values.items()}


def _writable(port: int, *, secure: bool) -> bool:
    # /minio/health/ready answers 200 before the store can be used (cmd/healthcheck-handler.go); this one does not.
    connection = _https(port) if secure else http.client.HTTPConnection("127.0.0.1", port, timeout=READY_TIMEOUT_S)
    try:
        connection.request("GET", "/minio/health/cluster")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _https(port: int) -> http.client.HTTPSConnection:
    import ssl  # the local runtime speaks plain HTTP and need not load it

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whether it answers is asked, not who it is
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=READY_TIMEOUT_S, context=context)
