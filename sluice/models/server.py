"""What a running Triton serves, and making it serve more; over gRPC, so one address is enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sluice.errors import UnavailableError

TIMEOUT_S: Final = 60.0
"""Loading starts a process and runs the model once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A model as the server lists it."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNLOADING or UNAVAILABLE; empty: never loaded."""
    reason: str


def index(url: str) -> tuple[Indexed, ...]:
    """All models of its repository; raises UnavailableError."""
    with _asked(url) as client:
        found = client.get_model_repository_index(client_timeout=TIMEOUT_S).models
    listed = (Indexed(name=each.name, version=each.version, state=each.state, reason=each.reason) for each in found)
    return tuple(sorted(listed, key=lambda each: each.name))


def load(url: str, name: str) -> None:
    """Load it, again if it is there; raises UnavailableError with the server's reason."""
    with _asked(url) as client:
        client.load_model(name, client_timeout=TIMEOUT_S)


def unload(url: str, name: str) -> None:
    """Let it go; raises UnavailableError."""
    with _asked(url) as client:
        client.unload_model(name, client_timeout=TIMEOUT_S)


@contextmanager
def _asked(url: str) -> Iterator[Any]:
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(url, channel_args=[("grpc.enable_http_proxy", 0)])
    try:
        yield client
    except InferenceServerException as error:
        raise UnavailableError("triton", error.message() or error.status() or "no answer") from error
    finally:
        client.close()
