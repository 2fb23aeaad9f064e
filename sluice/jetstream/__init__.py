"""NATS JetStream behind the Bus port; imported at the first call, as nats-py costs a cold start some 80 ms."""

import sys


def _import_nats() -> None:
    """Import it without aiohttp, which it takes if it is there: for WebSockets alone, and 100 ms more."""
    if "aiohttp" in sys.modules:
        return
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # Python's own way to say "not installed"
    try:
        import nats.aio.client  # noqa: F401 (the import is all that is wanted, here and now)
    finally:
        del sys.modules["aiohttp"]


_import_nats()
